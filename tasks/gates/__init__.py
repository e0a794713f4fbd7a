"""The quality gates: one suite of expectations per table, and what runs them."""
