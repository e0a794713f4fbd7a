"""The steps of a chain, one module each: its function, its parameters, its source."""
