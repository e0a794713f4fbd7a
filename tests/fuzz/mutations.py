"""One mutation of something valid: of bytes, of text, or of a tree of sections and values."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

ODD_TEXT = [
    *(
        "",
        " ",
        "~",
        "/",
        "..",
        "../../etc/passwd",
        "a" * 5000,
        "\x00",
        "\x1b[2J",
        "\ud7ff\U0001f600",
    ),
    *(
        "\u202e",
        "=1+1",
        "'",
        '"',
        "<script>",
        "*",
        "[",
        "\\",
        "null",
        "nan",
        "1e999",
        "é",
        "-0",
        "0x10",
    ),
    *("1_000", "१२", "version https://git-lfs.github.com/spec/v1\n", "$HOME", "%s", "{}", "{a.b}"),
]
ODD_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 2**64, 10**30, 10**400, 0.5, -0.0),
    *(
        float("nan"),
        float("inf"),
        -float("inf"),
        1e-320,
        1e300,
        1e21,
        [],
        {},
        [[]],
        [None],
        {"a": 1},
    ),
    *([1, [2, [3]]], {"": None}, ["x"] * 2000, *ODD_TEXT),
]


@st.composite
def mutated_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes with a bit turned, a piece gone, doubled, zeroed or put in, or cut off."""
    at = draw(st.integers(0, max(0, len(data) - 1)))
    length = draw(st.integers(1, 64))
    what = draw(st.sampled_from(["bit", "byte", "gone", "twice", "zero", "new", "cut", "other"]))
    head, piece, rest = data[:at], data[at : at + length], data[at + length :]
    if what == "bit":
        return head + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]
    if what == "byte":
        return head + bytes([draw(st.sampled_from([0, 1, 127, 128, 255]))]) + data[at + 1 :]
    if what == "gone":
        return head + rest
    if what == "twice":
        return head + piece + piece + rest
    if what == "zero":
        return head + bytes(len(piece)) + rest
    if what == "new":
        return head + draw(st.binary(min_size=1, max_size=16)) + data[at:]
    if what == "cut":
        return head
    return draw(st.sampled_from(WHOLE))


WHOLE = [
    b"",
    b"\x00" * 64,
    b"\xff" * 64,
    b"PAR1",
    b"PK\x03\x04",
    b"\x80\x02abc",
    b"[" * 3000,
    "Grüße".encode("latin-1"),
    "text".encode("utf-16"),
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
]


@st.composite
def mutated_text(draw: st.DrawFn, text: str) -> bytes:
    """The text with a line gone, doubled, swapped or changed in one word, or as `mutated_bytes`."""
    lines = text.splitlines(keepends=True)
    at = draw(st.integers(0, len(lines) - 1))
    what = draw(st.sampled_from(["gone", "twice", "swap", "word", "indent", "append", "bytes"]))
    if what == "bytes":
        return draw(mutated_bytes(text.encode()))
    if what == "gone":
        del lines[at]
    elif what == "twice":
        lines.insert(at, lines[at])
    elif what == "swap":
        other = draw(st.integers(0, len(lines) - 1))
        lines[at], lines[other] = lines[other], lines[at]
    elif what == "indent":
        lines[at] = "  " + lines[at]
    elif what == "append":
        lines.append(draw(st.sampled_from(ODD_TEXT)))
    else:
        words = lines[at].split(" ")
        words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from(ODD_TEXT))
        lines[at] = " ".join(words)
    return "".join(lines).encode("utf-8", "surrogatepass")


@st.composite
def mutated_tree(draw: st.DrawFn, tree: dict[str, Any]) -> dict[str, Any]:
    """The tree with one value replaced, one key removed or one put in, at any depth."""
    fresh = copy.deepcopy(tree)
    where = draw(st.sampled_from(_places(fresh)))
    holder: Any = fresh
    for key in where[:-1]:
        holder = holder[key]
    what = draw(st.sampled_from(["value", "value", "value", "gone", "more"]))
    if what == "gone":
        del holder[where[-1]]
    elif what == "more" and isinstance(holder, dict):
        holder[draw(st.sampled_from(ODD_TEXT))] = draw(st.sampled_from(ODD_VALUES))
    else:
        holder[where[-1]] = copy.deepcopy(draw(st.sampled_from(ODD_VALUES)))
    return fresh


def _places(tree: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    found = []
    for key in keys:
        found += [(*above, key), *_places(tree[key], (*above, key))]
    return found
