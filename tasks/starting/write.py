"""The sections `splits`, `dataset` and `score` of params.yaml, written in place."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pose2id.datasets.names import RETRACTED_READERS
from pose2id.errors import DataError, ParamsError
from tasks.starting.survey import Survey
from tasks.tables.params import parse_params
from tasks.tables.store import atomic_path

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
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = _round_trip()
    try:
        params = yaml.load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise ParamsError(f"{path} cannot be read: {error}") from error
    if not isinstance(params, dict):
        raise ParamsError(f"{path} must be a mapping of sections")
    params["splits"] = _inline([item.name for item in survey.splits])
    dataset = params.setdefault("dataset", {})
    dataset.update(
        name=name,
        reader=survey.layout.name,
        root=_relative(survey.root, project),
        licence=licence,
        status=status,
    )
    dataset["distractor_pids"] = (
        None if survey.distractor_pids is None else _inline(survey.distractor_pids)
    )
    dataset["junk_pids"] = None
    for option in dataset.get("options") or {}:
        dataset["options"][option] = None
    params.setdefault("score", {}).update(
        query=survey.query, gallery=survey.gallery, protocol=survey.layout.protocol
    )
    text = io.StringIO()
    yaml.dump(params, text)
    parse_params(YAML(typ="safe").load(text.getvalue()), str(path))
    with atomic_path(path) as fresh:
        fresh.write_text(text.getvalue(), encoding="utf-8")


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


def _round_trip() -> Any:  # noqa: ANN401 - ruamel's class is not typed
    """A YAML reader and writer that keeps comments, order, quotes and the word null."""
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import RoundTripRepresenter

    class Representer(RoundTripRepresenter):
        """Writes None as null; the base class leaves the place empty."""

    Representer.add_representer(
        type(None), lambda self, _: self.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    yaml = YAML()
    yaml.Representer = Representer
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _relative(root: Path, project: Path) -> str:
    full = root.resolve()
    inside = full.is_relative_to(project.resolve())
    return str(full.relative_to(project.resolve()) if inside else full)


def _inline(values: Iterable[Any]) -> Any:  # noqa: ANN401 - a sequence of ruamel's own
    from ruamel.yaml.comments import CommentedSeq

    sequence = CommentedSeq(values)
    sequence.fa.set_flow_style()
    return sequence
