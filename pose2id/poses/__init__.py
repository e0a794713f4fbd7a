"""Key points: formats, skeleton drawing, the standard poses, estimators."""
