"""Which steps a chain takes and how strongly, by the train split: for the stage and for `tune`."""
