"""One export from start to end: checks, a fresh folder, every split, the manifest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pose2id.errors import ParamsError
from tasks.exporting import fiftyone, folders, huggingface, vectors, webdataset
from tasks.exporting.source import Advance, SplitPictures
from tasks.exporting.target import new_folder, write_manifest
from tasks.tables.params import Params
from tasks.tables.schema import Layout

PICTURE_FORMATS = {
    "folders": folders.write,
    "hf": huggingface.write,
    "webdataset": webdataset.write,
    "fiftyone": fiftyone.write,
}
FEATURE_FORMATS = {"npy": vectors.write_npy, "pt": vectors.write_pt}
FORMATS = (*PICTURE_FORMATS, *FEATURE_FORMATS)


@dataclass(frozen=True, slots=True)
class Request:
    """What shall leave.

    Attributes:
        file_format: One of `FORMATS`.
        splits: Names of splits.
        accepted_only: Pictures: leave out what the quality gates did not accept.
        features: Features: `raw` or a variant; empty for the last one without re-ranking.
    """

    file_format: str
    splits: tuple[str, ...]
    accepted_only: bool = False
    features: str = ""


def export(
    layout: Layout,
    params: Params,
    request: Request,
    target: Path,
    *,
    overwrite: bool = False,
    advance: Advance = lambda n_done: None,
) -> dict[str, int]:
    """Writes an export; it appears whole or not at all.

    Args:
        layout: Where the tables are.
        params: All parameters.
        request: What shall leave.
        target: The export's folder.
        overwrite: Replace an earlier export.
        advance: Called with the number of pictures or rows just written.

    Returns:
        Number of pictures or rows per split.

    Raises:
        ParamsError: The request names what there is not.
        DataError: A table is missing, or the target must not be replaced.
    """
    if not request.features:
        request = replace(request, features=params.default_variant)
    check_request(request, params)
    counts: dict[str, int] = {}
    generators: set[str] = set()
    with new_folder(target, overwrite=overwrite) as folder:
        for split in request.splits:
            if request.file_format in FEATURE_FORMATS:
                write_rows = FEATURE_FORMATS[request.file_format]
                counts[split] = write_rows(folder, layout, split, request.features)
                advance(counts[split])
            else:
                pictures = SplitPictures(layout, split, accepted_only=request.accepted_only)
                counts[split] = PICTURE_FORMATS[request.file_format](folder, pictures, advance)
                generators |= pictures.generators
        if request.file_format == "hf":
            huggingface.write_card(folder, params.dataset, counts)
        write_manifest(folder, _facts(params, request, counts, sorted(generators)))
    return counts


def check_request(request: Request, params: Params) -> None:
    """Checks the request against the parameters.

    Raises:
        ParamsError: It names a format, a split or features that do not exist.
    """
    stored = (vectors.RAW, *params.feature_variants())
    allowed = {"format": FORMATS, "split": params.splits, "features": stored}
    given = {
        "format": (request.file_format,),
        "split": request.splits,
        "features": (request.features,),
    }
    for name, values in given.items():
        unknown = [value for value in values if value not in allowed[name]]
        if unknown:
            raise ParamsError(f"--{name} is {unknown[0]!r}; it can be {', '.join(allowed[name])}")


def _facts(
    params: Params, request: Request, counts: dict[str, int], generators: list[str]
) -> dict[str, object]:
    facts: dict[str, object] = {
        "dataset": params.dataset.name,
        "licence": params.dataset.licence,
        "status": params.dataset.status,
        "format": request.file_format,
        "counts": counts,
    }
    if request.file_format in FEATURE_FORMATS:
        return facts | {"features": request.features}
    return facts | {
        "accepted_only": request.accepted_only,
        "generators": generators,
        "synthetic": True,
    }
