"""Reads the mark of generated pictures as any program would: from PNG text or from EXIF."""

from __future__ import annotations

import io
import json
from typing import Any

from PIL import ExifTags, Image


def read_mark(data: bytes) -> dict[str, Any] | None:
    """What a picture says about itself; `None` when it has no mark of Pose2ID."""
    with Image.open(io.BytesIO(data)) as picture:
        exif = picture.getexif()
        ours = exif.get(ExifTags.Base.Software) == "Pose2ID"
        text = exif.get(ExifTags.Base.ImageDescription) if ours else picture.info.get("Pose2ID")
    return None if text is None else dict(json.loads(text))
