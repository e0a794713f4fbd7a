"""Pictures and tables for a paper, with the numbers of the last run."""
