"""What a dataset's folder holds: its layout, its splits with their numbers, and what stays open."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pose2id.datasets.base import Counts, Listing
from pose2id.datasets.file_names import has_image_suffix, is_no_image
from pose2id.datasets.files import folders_in
from pose2id.datasets.layout import Layout
from pose2id.datasets.registry import READERS, recognise
from pose2id.errors import DataError

QUERY_NAMES: Final = ("query", "queries", "probe", "probes")
GALLERY_NAMES: Final = ("gallery", "galleries", "test")


@dataclass(frozen=True, slots=True)
class SplitFound:
    """What one split holds, and where that is not what its authors publish."""

    name: str
    counts: Counts
    n_cameras: int
    n_rejects: int
    first_reject: str
    n_not_images: int
    n_junk: int
    unlike: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """What a folder holds.

    Attributes:
        layout: The layout that fits.
        evidence: By what it was recognised.
        root: The dataset's root: the folder, or one inside it.
        splits: What the splits hold, in the order in which they are written.
        query: The split that is asked with.
        gallery: The split that is searched.
        distractor_pids: `None` for the layout's own, empty where person 0 is a person.
        unread: Images below the root that belong to no split, by their first folder.
        doubts: What cannot be told from the files, in words.
    """

    layout: type[Layout]
    evidence: str
    root: Path
    splits: tuple[SplitFound, ...]
    query: str
    gallery: str
    distractor_pids: tuple[int, ...] | None
    unread: dict[str, int]
    doubts: tuple[str, ...]


def find_layout(folder: Path, reader: str | None) -> tuple[type[Layout], str, Path] | None:
    """The layout of a folder, or of the only folder in it that has one.

    Args:
        folder: Where to look.
        reader: The layout, where the user names it.

    Returns:
        Layout, evidence and root; `None` where nothing is recognised.

    Raises:
        DataError: There is no such reader, or several folders inside have a layout.
    """
    if reader is not None:
        if reader not in READERS:
            raise DataError(f"there is no reader {reader!r}; choose one of {', '.join(READERS)}")
        layout = READERS[reader]
        return layout, layout.recognises(folder) or "you named it", folder
    if found := recognise(folder):
        return *found, folder
    inside = [(folder / name, recognise(folder / name)) for name in folders_in(folder)]
    hits = [(*found, path) for path, found in inside if found]
    if len(hits) > 1:
        names = ", ".join(f"{path.name} ({layout.name})" for layout, _, path in hits)
        raise DataError(f"{folder} holds several datasets: {names}; name one of them")
    return hits[0] if hits else None


def survey(
    layout: type[Layout],
    evidence: str,
    root: Path,
    *,
    name: str,
    query: str | None = None,
    gallery: str | None = None,
) -> Survey:
    """Reads all splits of a dataset.

    Args:
        layout: Its layout.
        evidence: By what it was recognised.
        root: Its root.
        name: The dataset's name, by which published counts are looked up.
        query: The split that is asked with, where the user names it.
        gallery: The split that is searched, where the user names it.

    Raises:
        DataError: Query or gallery cannot be told, cannot be read or are empty.
    """
    present = layout.found_splits(root)
    named = bool(layout.splits)
    query = query or _choose(present, (layout.query,) if named else QUERY_NAMES, "query")
    gallery = gallery or _choose(present, (layout.gallery,) if named else GALLERY_NAMES, "gallery")
    distractor_pids: tuple[int, ...] | None = None
    if layout.distractor_pids and _is_person(layout, root, query):
        distractor_pids = ()
    reader = layout(distractor_pids=distractor_pids)
    doubts = _doubts(layout, distractor_pids)
    splits, used = [], set()
    wanted = [split for split in present if split not in (query, gallery)]
    for split in [*wanted, query, gallery]:
        try:
            listing = reader.read_split(root, split)
            if not listing.records:
                first = f"; {listing.rejects[0].path}: {_first(listing)}" if listing.rejects else ""
                raise DataError(f"{split} of {root} has no usable image{first}")
        except DataError as error:
            if split in (query, gallery):
                raise
            doubts.append(f"the split {split} is left out: {error}")
            continue
        used |= _paths(listing)
        splits.append(_found(reader, listing, split, name))
    if "train" not in [item.name for item in splits]:
        doubts.append("there is no train split: tune and train need one")
    return Survey(
        layout=layout,
        evidence=evidence,
        root=root,
        splits=tuple(splits),
        query=query,
        gallery=gallery,
        distractor_pids=distractor_pids,
        unread=dict(
            Counter(_first_folder(path) for path in images_below(root) if path not in used)
        ),
        doubts=(*doubts, *_gaps(splits)),
    )


def _choose(present: tuple[str, ...], names: tuple[str, ...], role: str) -> str:
    chosen = [split for split in names if split in present]
    if not chosen:
        raise DataError(
            f"which of the splits {', '.join(present) or '(none)'} is the {role} cannot be told; "
            f"name it with --{role}"
        )
    return chosen[0]


def _is_person(layout: type[Layout], root: Path, query: str) -> bool:
    """Whether the ids that mark distractors are asked for, and so are people here."""
    records = layout(distractor_pids=()).read_split(root, query).records
    return any(record.pid in layout.distractor_pids for record in records)


def _doubts(layout: type[Layout], distractor_pids: tuple[int, ...] | None) -> list[str]:
    doubts = [layout.remark] if layout.remark else []
    if distractor_pids == ():
        doubts.append("person 0 is asked for, so it is a person here and marks no distractors")
    elif layout.distractor_pids:
        doubts.append(
            "images of person 0 are taken for distractors; if 0 is a person, set "
            "dataset.distractor_pids to []"
        )
    return doubts


def _gaps(splits: list[SplitFound]) -> list[str]:
    gaps = []
    if all(item.counts.people == 0 for item in splits):
        gaps.append("people are unknown: there will be ranked lists and no metrics")
    if all(item.n_cameras == 0 for item in splits):
        gaps.append("cameras are unknown: no match is left out for the query's own camera")
    elif max(item.n_cameras for item in splits) == 1 and len(splits) == 1:
        gaps.append("there is one camera")
    return gaps


def _found(reader: Layout, listing: Listing, split: str, name: str) -> SplitFound:
    counts = Counts.of(listing.records)
    official = reader.expected(split, name)
    return SplitFound(
        name=split,
        counts=counts,
        n_cameras=len({r.camid for r in listing.records if r.camid is not None}),
        n_rejects=len(listing.rejects),
        first_reject=f"{listing.rejects[0].path}: {_first(listing)}" if listing.rejects else "",
        n_not_images=len(listing.not_images),
        n_junk=listing.n_junk,
        unlike=tuple(official.check(split, counts)) if official else (),
    )


def _first(listing: Listing) -> str:
    return listing.rejects[0].reason


def _paths(listing: Listing) -> set[str]:
    items: tuple[Any, ...] = (*listing.records, *listing.rejects)
    return {item.path for item in items} | set(listing.junk)


def images_below(root: Path, below: str = "") -> Iterator[str]:
    """Paths of all images below a folder; links to folders are not followed."""
    with os.scandir(root / below) as entries:
        for entry in entries:
            path = f"{below}/{entry.name}".lstrip("/")
            if is_no_image(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from images_below(root, path)
            elif has_image_suffix(entry.name):
                yield path


def _first_folder(path: str) -> str:
    return path.partition("/")[0] if "/" in path else "."
