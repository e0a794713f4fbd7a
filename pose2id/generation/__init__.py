"""Identity-guided pedestrian generation (IPG) and other picture generators."""

from pose2id.extras import require

require("generation", "diffusers", "pydantic", purpose="Drawing pictures")
