"""Starting from a folder: what it holds, and the sections of params.yaml that say so."""
