"""What all readers do before they read a name: find the files that may be used at all."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from pose2id.datasets.base import RejectedFile
from pose2id.datasets.file_names import has_image_suffix, is_no_image, printable, unusable_name
from pose2id.errors import DataError

LINK_OUT: Final = (
    "is a link to a file outside the dataset's root; if what it points to may be read, set "
    "dataset.follow_links to true"
)

# Where DVC keeps a file in its cache: named by the hash of the content and by nothing else.
_DVC_CACHE: Final = re.compile(r".*/files/md5/[0-9a-f]{2}/[0-9a-f]{30}(\.dir/.*)?")


@dataclass(slots=True)
class Found:
    """The files below a folder, in the order of their paths.

    Attributes:
        images: Paths relative to the dataset's root that may hold an image.
        rejects: What should be an image and cannot be used.
        not_images: What is no image and is not meant to be one.
    """

    images: list[str] = field(default_factory=list)
    rejects: list[RejectedFile] = field(default_factory=list)
    not_images: list[RejectedFile] = field(default_factory=list)


class DatasetFiles:
    """The files of a dataset: what lies inside its root and what links may be followed.

    Args:
        root: The dataset's root folder.
        follow_links: Whether links may lead out of the root. Links into a DVC cache always may.

    Raises:
        DataError: There is no such folder.
    """

    def __init__(self, root: Path, *, follow_links: bool = False) -> None:
        if not root.is_dir():
            raise DataError(f"there is no dataset folder {root}; set dataset.root to where it is")
        self.root = root
        self._real_root = os.path.realpath(root)
        self._follow_links = follow_links
        self._good_folders: set[Path] = set()

    def folder(self, name: str) -> Path:
        """A folder below the root, checked to exist and to be within reach.

        Raises:
            DataError: It is missing, or a link that leads out of the root.
        """
        path = self.root / name
        if not path.is_dir():
            raise DataError(f"{self.root} has no folder {name!r}; it holds {contents(self.root)}")
        if not self._within_reach(os.path.realpath(path)):
            raise DataError(
                f"{path} is a link that leaves the dataset's root; if what it points to may be "
                "read, set dataset.follow_links to true"
            )
        return path

    def below(self, folder: str, split: str, *, flat: bool = False) -> Found:
        """Lists the files of a folder and of its sub-folders, each level sorted by name.

        Args:
            folder: A folder below the root, as a POSIX path.
            split: Name of the split, for the rejects.
            flat: Whether images belong directly into the folder; those further down are rejects.

        Returns:
            Every file below the folder.

        Raises:
            DataError: The folder is missing, cannot be listed or lies outside the root.
        """
        self.folder(folder)
        found = Found()
        for path, reason in self._walk(folder.rstrip("/"), ()):
            name = path.rpartition("/")[2]
            if is_no_image(name):
                found.not_images.append(RejectedFile(printable(path), split, "is not an image"))
                continue
            reason = reason or unusable_name(path)
            if reason is None and flat and path.count("/") > folder.count("/") + 1:
                reason = f"lies in a folder inside {folder!r}, where this layout has images only"
            if reason is None:
                found.images.append(path)
            else:
                found.rejects.append(RejectedFile(printable(path), split, reason))
        return found

    def _walk(self, folder: str, above: tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
        """Path and fault of every file; one `scandir` per folder and no `stat` per file."""
        real = os.path.realpath(self.root / folder)
        try:
            with os.scandir(self.root / folder) as entries:
                names = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(
                f"{self.root / folder} cannot be listed: {error.strerror or error}"
            ) from error
        for entry in names:
            path = f"{folder}/{entry.name}"
            if entry.is_symlink():
                fault = self._link_fault(path)
                if fault is None and entry.is_dir():
                    if os.path.realpath(self.root / path) in (*above, real):
                        fault = "is a link to a folder that holds it"
                    else:
                        yield from self._walk(path, (*above, real))
                        continue
                yield path, fault
            elif entry.is_dir(follow_symlinks=False):
                if is_no_image(entry.name):
                    yield path, None
                elif has_image_suffix(entry.name):
                    yield path, "is not a regular file"
                else:
                    yield from self._walk(path, (*above, real))
            else:
                regular = entry.is_file(follow_symlinks=False)
                yield path, None if regular else "is not a regular file"

    def why_unusable(self, path: str) -> str | None:
        """Why a path that a list names cannot be an image of the dataset, without reading it.

        Args:
            path: POSIX path relative to the root.

        Returns:
            The reason, or `None` for a regular file within reach with an image's suffix.
        """
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or "\0" in path:
            return "its path must be relative to the dataset's root, without '..'"
        if reason := unusable_name(path):
            return reason
        target = self.root / path
        try:
            if target.parent not in self._good_folders:
                if not self._within_reach(os.path.realpath(target.parent, strict=True)):
                    return LINK_OUT
                self._good_folders.add(target.parent)
            mode = target.lstat().st_mode
        except OSError as error:
            return f"cannot be opened: {error.strerror or error}"
        if stat.S_ISLNK(mode):
            return self._link_fault(path)
        return None if stat.S_ISREG(mode) else "is not a regular file"

    def _link_fault(self, path: str) -> str | None:
        try:
            real = os.path.realpath(self.root / path, strict=True)
            mode = Path(real).stat().st_mode
        except OSError as error:
            return f"cannot be opened: {error.strerror or error}"
        if not self._within_reach(real):
            return LINK_OUT
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return "is not a regular file"
        return None

    def _within_reach(self, real: str) -> bool:
        return (
            self._follow_links
            or Path(real).is_relative_to(self._real_root)
            or _DVC_CACHE.fullmatch(Path(real).as_posix()) is not None
        )


def read_lines(path: Path) -> list[str]:
    """The lines of a dataset's list, without those that are empty.

    Raises:
        DataError: The file is missing or not text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the list {path} cannot be read: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def folders_in(path: Path) -> list[str]:
    """Names of the folders in a folder, sorted, hidden ones left out; none where there is none."""
    try:
        with os.scandir(path) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except OSError:
        return []


def some_names(path: Path, most: int = 200) -> list[str]:
    """Names of some images directly in a folder, to recognise a layout by."""
    names: list[str] = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if has_image_suffix(entry.name) and not entry.name.startswith("."):
                    names.append(entry.name)
                    if len(names) == most:
                        break
    except OSError:
        return []
    return sorted(names)


def folders_of_names(
    root: Path, folders: tuple[str, str], pattern: re.Pattern[str], example: str
) -> str | None:
    """What two folders show if each has an image of a layout's names, in words; `None` if not."""
    for folder in folders:
        names = some_names(root / folder)
        if not any(pattern.fullmatch(PurePosixPath(name).stem) for name in names):
            return None
    return f"folders {folders[0]} and {folders[1]} with names like {example}"


def contents(root: Path) -> str:
    """What a folder holds, in words."""
    names = sorted(printable(entry.name) for entry in root.iterdir())
    if not names:
        return "nothing"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more
