"""Feature networks behind one protocol: images in, raw (not normalised) features out."""
