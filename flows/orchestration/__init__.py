"""How work is spread and shown: the Prefect flow over DVC, shards, events, deployments."""
