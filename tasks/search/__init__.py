"""A picture or an image id against the gallery."""
