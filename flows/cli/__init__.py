"""The commands: thin, one module each; what they do is in `tasks`."""
