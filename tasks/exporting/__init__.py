"""Ways out: generated pictures and features in the formats of other tools."""
