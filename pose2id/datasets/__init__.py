"""Dataset layouts: one short module per layout, each turning a folder into typed records."""
