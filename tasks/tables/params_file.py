"""Changes to a params file that keep its comments, its order and every other value."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pose2id.errors import ParamsError
from tasks.tables.params import Params, parse_params
from tasks.tables.store import atomic_path
from tasks.tables.yaml_file import read_yaml


def edit_params(source: Path, target: Path, change: Callable[[Any], None]) -> Params:
    """Writes a params file with some values changed, once they are known to be allowed.

    Args:
        source: The params file to start from.
        target: Where the changed one goes; may be the same file.
        change: Changes the sections in place. They behave like dicts.

    Returns:
        The parameters of the new file.

    Raises:
        ParamsError: The source cannot be read, or a value is not allowed; `target` is untouched.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    read_yaml(source)  # says in plain words what is wrong with a file
    yaml = _round_trip()
    try:
        sections = yaml.load(source.read_text(encoding="utf-8-sig"))
    except YAMLError as error:
        raise ParamsError(f"{source} cannot be changed: {error}") from error
    change(sections)
    text = io.StringIO()
    yaml.dump(sections, text)
    params = parse_params(YAML(typ="safe").load(text.getvalue()), str(source))
    with atomic_path(target) as fresh:
        fresh.write_text(text.getvalue(), encoding="utf-8")
    return params


def inline(values: Iterable[Any]) -> Any:  # noqa: ANN401 - a sequence of ruamel's own
    """A list that is written on one line, in brackets."""
    from ruamel.yaml.comments import CommentedSeq

    sequence = CommentedSeq(values)
    sequence.fa.set_flow_style()
    return sequence


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
