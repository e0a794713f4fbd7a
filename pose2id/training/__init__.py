"""Training of the generator's parts: VAE, identity network, and IPG itself."""
