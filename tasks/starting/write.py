"""The sections `splits`, `dataset` and `score` of params.yaml, written in place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pose2id.datasets.names import RETRACTED_READERS
from pose2id.errors import DataError
from tasks.starting.survey import Survey
from tasks.tables.params_file import edit_params, inline

UNKNOWN_LICENCE = "unknown"


def write_params(
    path: Path, project: Path, survey: Survey, *, name: str, licence: str, status: str
) -> None:
    """Sets what a survey found in a params file and leaves everything else as it is.

    Comments, order and values of other keys stay. The new file is checked before it takes the old
    one's place; where it is not accepted, the old one stays as it was.

    Args:
        path: The params file.
        project: The project's root, to which the dataset's root is relative where it is inside.
        survey: What the folder holds.
        name: The dataset's name.
        licence: Its licence.
        status: Its status.

    Raises:
        ParamsError: The file is missing, is not YAML, or a value is not allowed.
    """

    def change(params: Any) -> None:  # noqa: ANN401 - ruamel's mapping
        names = [item.name for item in survey.splits]
        params["splits"] = inline(names)
        dataset = params.setdefault("dataset", {})
        dataset.update(
            name=name,
            reader=survey.layout.name,
            root=_relative(survey.root, project),
            licence=licence,
            status=status,
        )
        distractors = survey.distractor_pids
        dataset["distractor_pids"] = None if distractors is None else inline(distractors)
        dataset["junk_pids"] = None
        for option in dataset.get("options") or {}:
            dataset["options"][option] = None
        if params.setdefault("tune", {}).get("split", "train") not in names:
            params["tune"]["split"] = survey.gallery  # nobody else is there: the safe chain
        params.setdefault("score", {}).update(
            query=survey.query, gallery=survey.gallery, protocol=survey.layout.protocol
        )

    edit_params(path, path, change)


def default_name(survey_root: Path, reader: str, shared: bool) -> str:
    """A dataset's name: the layout's where it is one dataset's own, else the folder's.

    Example:
        >>> default_name(Path("/data/My Set (v2)"), "folder", True)
        'my-set-v2'
        >>> default_name(Path("/data/x"), "ltcc", False)
        'ltcc'
    """
    if not shared:
        return reader
    name = re.sub(r"[^a-z0-9]+", "-", survey_root.resolve().name.lower()).strip("-")
    return name[:64] or "mine"


def default_status(reader: str, benchmark: bool) -> str:
    """What may be done with a dataset, as far as its layout tells.

    Example:
        >>> [default_status("ltcc", True), default_status("folder", False)]
        ['academic', 'private']
    """
    if reader in RETRACTED_READERS:
        return "retracted"
    return "academic" if benchmark else "private"


def check_names(splits: Iterable[str]) -> None:
    """Refuses splits whose names params.yaml does not allow.

    Raises:
        DataError: A name has other characters than small letters, digits, `_` and `-`.
    """
    bad = [split for split in splits if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", split)]
    if bad:
        raise DataError(
            f"the split {bad[0]!r} cannot be named in params.yaml: rename it to small letters, "
            "digits, '_' and '-'"
        )


def _relative(root: Path, project: Path) -> str:
    full = root.resolve()
    inside = full.is_relative_to(project.resolve())
    return str(full.relative_to(project.resolve()) if inside else full)
