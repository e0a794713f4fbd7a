"""Ranked lists as one HTML file that needs nothing beside it, and as plain data for JSON."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pose2id.datasets.images import decode_rgb, read_indexed
from tasks.reporting.pages import page_of_its_own
from tasks.search.ranking import Found

THUMB_PX = 160


def as_html(
    found: Sequence[tuple[Found, bytes]],
    dataset_root: Path,
    *,
    form: int | None = None,
    message: str = "",
) -> str:
    """All ranked lists on one page, pictures inside.

    Args:
        found: Each list with the bytes of its query.
        dataset_root: Where the gallery's files are.
        form: The length of a list where the page also asks for a picture; None for a plain page.
        message: What went wrong, to stand above everything.

    Returns:
        The page.

    Raises:
        DataError: A gallery image can no longer be read, or has been replaced since it was indexed.
    """
    shown = [
        {
            "found": item,
            "query": _inline(query),
            "hits": [
                (hit, _inline(read_indexed(dataset_root, hit.path, hit.sha256)))
                for hit in item.hits
            ],
        }
        for item, query in found
    ]
    return page_of_its_own("search.html.j2", lists=shown, form=form, message=message)


def as_data(found: Found) -> dict[str, Any]:
    """One ranked list for JSON."""
    data = asdict(found)
    data["hits"] = [{k: v for k, v in hit.items() if k != "sha256"} for hit in data["hits"]]
    return data


def _inline(data: bytes) -> str:
    picture = decode_rgb(data)
    picture.thumbnail((THUMB_PX, THUMB_PX))
    buffer = io.BytesIO()
    picture.save(buffer, format="jpeg", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
