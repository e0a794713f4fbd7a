"""Identity-guided pedestrian generation (IPG) and other picture generators."""
