"""WebDataset: tar files of a fixed number of samples; the same pictures give the same bytes."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from tasks.exporting.source import Advance, Picture, SplitPictures, in_chunks

SAMPLES_PER_TAR = 2000


def write(
    target: Path,
    pictures: SplitPictures,
    advance: Advance,
    samples_per_tar: int = SAMPLES_PER_TAR,
) -> int:
    """Writes one split as `<split>-<number>.tar`.

    A sample is `<name>.png` (or as stored), `<name>.json` with all facts, and `<name>.cls` with
    the class number where the picture has one. The format is PAX, which has room for names of more
    than 100 letters.

    Args:
        target: The export's folder.
        pictures: The split's pictures.
        advance: Called with the number of pictures just written.
        samples_per_tar: Pictures per tar file.

    Returns:
        The number of pictures.
    """
    n_written = 0
    for number, chunk in enumerate(in_chunks(pictures, samples_per_tar)):
        path = target / f"{pictures.split}-{number:06d}.tar"
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            for picture in chunk:
                _add_sample(tar, picture)
        n_written += len(chunk)
        advance(len(chunk))
    return n_written


def _add_sample(tar: tarfile.TarFile, picture: Picture) -> None:
    facts = json.dumps(picture.facts(), sort_keys=True)
    _add_file(tar, f"{picture.flat_name}.{picture.suffix}", picture.marked())
    _add_file(tar, f"{picture.flat_name}.json", facts.encode())
    if picture.label is not None:
        _add_file(tar, f"{picture.flat_name}.cls", str(picture.label).encode())


def _add_file(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Adds a file whose header holds nothing of this machine: TarInfo's owner and time are 0."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o644
    tar.addfile(info, io.BytesIO(data))
