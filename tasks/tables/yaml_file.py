"""Reading YAML that a person wrote: nothing wins silently, and every fault has its line.

YAML itself lets the last of two equal keys win, takes aliases that unfold to billions of items and
numbers of any length; here each is an error that names file and line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pose2id.errors import ParamsError

MAX_BYTES = 1_000_000
MAX_ITEMS = 100_000  # with every alias unfolded


class _Loader(yaml.SafeLoader):
    """Refuses a key given twice, and says where a value that is none stands."""

    def construct_object(self, node: Node, deep: bool = False) -> Any:  # noqa: ANN401 - as in yaml
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:  # no such date; a number of 5,000 digits
            raise yaml.constructor.ConstructorError(
                None, None, str(error).partition(";")[0], node.start_mark
            ) from error

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key, line = key_node.value, key_node.start_mark.line + 1
            if key in lines:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"{key!r} is given twice, in line {lines[key]} and in line {line}; the second "
                    "would silently replace the first: keep one",
                    key_node.start_mark,
                )
            lines[key] = line
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, option: str = "--params") -> dict[str, Any]:
    """Reads a YAML file that holds a mapping of sections.

    Args:
        path: The file, in UTF-8.
        option: The command's option that names the file, for messages.

    Returns:
        Its content.

    Raises:
        ParamsError: It is missing, cannot be read, is not UTF-8 or not YAML, gives a key twice,
            unfolds to too much, or is no mapping.
    """
    text = _read_text(path, option)
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            _count_items(node, path)
        content = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {_explain(error)}") from error
    except RecursionError as error:
        raise ParamsError(f"{path} nests brackets or sections too deeply; flatten it") from error
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(content, dict):
        raise ParamsError(f"{path} must be a mapping of sections, got {type(content).__name__}")
    if not all(isinstance(key, str) for key in content):
        raise ParamsError(f"{path} must name its sections by words, got {list(content)[:5]}")
    return content


def _read_text(path: Path, option: str) -> str:
    try:
        if path.exists() and not path.is_file():
            raise ParamsError(f"{path} is a folder or no regular file; name a YAML file")
        if path.stat().st_size > MAX_BYTES:
            raise ParamsError(f"{path} is larger than {MAX_BYTES} bytes; is it the right file?")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ParamsError(
            f"there is no {path}; run from the project's root or name one with {option}"
        ) from error
    except OSError as error:
        raise ParamsError(f"{path} cannot be read: {error.strerror}; name a YAML file") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        found = "it looks like UTF-16" if utf16 else f"byte {data[error.start]:#04x} in line {line}"
        raise ParamsError(f"{path} is not UTF-8 ({found}); save it as UTF-8") from error


def _count_items(root: Node, path: Path) -> None:
    """Refuses what aliases unfold to too many items, or to themselves."""
    sizes: dict[int, int] = {}

    def size(node: Node) -> int:
        known = sizes.get(id(node))
        if known == 0:
            line = node.start_mark.line + 1
            raise ParamsError(f"{path}: the value in line {line} contains itself")
        if known is not None:
            return known
        sizes[id(node)] = 0
        total = 1
        if isinstance(node, SequenceNode):
            total += sum(size(item) for item in node.value)
        elif isinstance(node, MappingNode):
            total += sum(size(key) + size(value) for key, value in node.value)
        sizes[id(node)] = total
        return total

    if (total := size(root)) > MAX_ITEMS:
        raise ParamsError(
            f"{path} unfolds to {min(total, 10**18)} items or more by its aliases; "
            f"{MAX_ITEMS} are allowed: write out what is needed"
        )


def _explain(error: yaml.YAMLError) -> str:
    """What is wrong and where, on one line and without the text around it."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    if mark is None or problem is None:
        return " ".join(str(error).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"
