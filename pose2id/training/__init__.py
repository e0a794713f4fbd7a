"""Training of the generator's parts: VAE, identity network, and IPG itself."""

from pose2id.extras import require

require("generation", "diffusers", "pydantic", purpose="Training a generator")
