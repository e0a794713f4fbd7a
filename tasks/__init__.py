"""The stages: one module each, files in, files out. They know nothing of Prefect or DVC."""
