"""From named images with their labels to the listing of a split."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from pose2id.datasets.base import ImageRecord, Listing, Modality, RejectedFile
from pose2id.datasets.file_names import printable
from pose2id.datasets.files import Found


@dataclass(frozen=True, slots=True)
class ImageLabels:
    """What a name says about an image; see `ImageRecord`."""

    pid: int | None = None
    camid: int | None = None
    modality: Modality = "visible"
    clothes_id: int | None = None
    tracklet_id: str | None = None
    group: str | None = None
    distractor: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One image that a list names.

    Attributes:
        path: POSIX path relative to the root.
        name: The image's id within the split.
        labels: What the list and the name say.
        source: The list and the line, for rejects.
        fault: Why the line cannot be used, if it cannot.
    """

    path: str
    name: str
    labels: ImageLabels
    source: str
    fault: str | None = None


class Collector:
    """Gathers the records and rejects of one split.

    Args:
        split: Name of the split.
        distractor_pids: Person ids that mark gallery images which match no query.
        junk_pids: Person ids whose images are counted and left out.
        is_query: Whether the split is asked with, so that a distractor in it is a mistake.
        is_train: Whether it is trained on: nobody is a distractor there.
    """

    def __init__(
        self,
        split: str,
        distractor_pids: frozenset[int],
        junk_pids: frozenset[int],
        *,
        is_query: bool,
        is_train: bool,
    ) -> None:
        self._split = split
        self._distractor_pids = distractor_pids
        self._junk_pids = junk_pids
        self._is_query = is_query
        self._is_train = is_train
        self._records: list[ImageRecord] = []
        self._rejects: dict[str, RejectedFile] = {}
        self._not_images: list[RejectedFile] = []
        self._junk: list[str] = []

    def found(self, found: Found) -> list[str]:
        """Takes over what a walk could not use; returns the images that it found."""
        for reject in found.rejects:
            self._rejects.setdefault(reject.path, reject)
        self._not_images += found.not_images
        return found.images

    def reject(self, path: str, reason: str) -> None:
        """One reject a path, however often it is named."""
        shown = printable(path)
        self._rejects.setdefault(shown, RejectedFile(shown, self._split, reason))

    def add(self, path: str, name: str, labels: ImageLabels) -> None:
        """Takes an image; `name` is its id within the split."""
        pid = labels.pid
        marked = pid is not None and pid in self._distractor_pids
        if pid is not None and pid in self._junk_pids:
            self._junk.append(path)
        elif pid is not None and pid < 0:
            self.reject(path, f"has person id {pid}, which is not listed as junk")
        elif marked and self._is_query:
            self.reject(
                path,
                f"is a query of person {pid}, which is listed as a distractor; if {pid} is a "
                "person here, take it out of dataset.distractor_pids",
            )
        else:
            self._records.append(
                ImageRecord(
                    image_id=f"{self._split}/{name}",
                    path=path,
                    split=self._split,
                    pid=pid,
                    camid=labels.camid,
                    modality=labels.modality,
                    clothes_id=labels.clothes_id,
                    distractor=labels.distractor or (marked and not self._is_train),
                    tracklet_id=labels.tracklet_id,
                    group=labels.group,
                )
            )

    def listing(self) -> Listing:
        """Sorts the split and rejects every file that shares its id with another one.

        None of such files is kept, because nothing tells which one is meant. A path that is named
        twice is one reject.
        """
        by_id: defaultdict[str, list[ImageRecord]] = defaultdict(list)
        for record in self._records:
            by_id[record.image_id].append(record)
        for image_id, group in by_id.items():
            paths = sorted({record.path for record in group})
            if len(paths) > 1:
                for path in paths:
                    others = ", ".join(other for other in paths if other != path)
                    self.reject(path, f"shares its id {image_id!r} with {others}")
            elif len(group) > 1:
                self.reject(paths[0], f"is listed {len(group)} times in {self._split!r}")
        unique = [group[0] for group in by_id.values() if len(group) == 1]
        return Listing(
            records=tuple(sorted(unique, key=lambda record: record.image_id)),
            rejects=tuple(sorted(self._rejects.values(), key=lambda reject: reject.path)),
            not_images=tuple(sorted(self._not_images, key=lambda reject: reject.path)),
            junk=tuple(sorted(self._junk)),
        )
