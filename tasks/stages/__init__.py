"""One module per stage of dvc.yaml: plan the shards, run a shard, merge."""
