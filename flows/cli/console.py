"""What every command shares at the terminal: tables, progress, logging and readable errors.

Rich is used where a person is looking; a pipe or a log file gets plain text without control codes.
Its modules are imported inside the functions, so that `--help` stays fast.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol

from flows.process.failure import WorkFailedError
from flows.process.memory import explained_memory_errors
from pose2id.errors import Pose2IdError, QualityError

if TYPE_CHECKING:
    from rich.console import Console

WORK_FAILED, CANNOT_BE_DONE = 1, 2
EXIT_CODES = """\
    0  done
    1  the work failed: a stage, a gate, the disk; or a defect, with a traceback
    2  cannot be done as asked: options, parameters, data, something missing
  130  stopped by Ctrl-C; 143 by SIGTERM, 128 + n by signal n"""
MAX_CELL_CHARS = 120
FOLDED_TEXT_CHARS = 16  # narrower than this, a text column is not worth reading
MAX_LIST_ITEMS = 6
MAX_LINE_CHARS = 2000  # of an error, which may quote what it was given
SMALL_NUMBER = 2.0  # a column of scores and rates shows 4 decimals, any other 2
FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # wide ones as well
CHATTY = ("great_expectations", "httpx", "matplotlib")
LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class Advance(Protocol):
    """Moves a progress bar on."""

    def __call__(self, n_done: int, note: str = "") -> None:
        """Counts units that are done; the note, if any, stands in place of the rate."""
        ...


@lru_cache(maxsize=2)
def console(*, stderr: bool = False) -> Console:
    """The one console per stream, so that logging and progress bars do not tear each other."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def setup_logging(level: int = logging.INFO) -> None:
    """Sends the log to stderr: coloured at a terminal, one dated line per record elsewhere."""
    if sys.stderr.isatty():
        from rich.logging import RichHandler

        handler: logging.Handler = RichHandler(
            console=console(stderr=True), show_path=False, markup=False
        )
        handler.setFormatter(logging.Formatter("%(message)s", datefmt="[%X]"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(LOG_FORMAT))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for library in CHATTY:
        logging.getLogger(library).setLevel(logging.WARNING)


@contextlib.contextmanager
def friendly_errors() -> Iterator[None]:
    """Shows an error that is meant for the user as one paragraph and ends with its exit code.

    Works as `with friendly_errors():` and as a decorator below `@app.command()`. A lack of memory
    is such an error, too. Anything else that goes wrong is a defect and keeps its traceback.

    Raises:
        SystemExit: In place of a `Pose2IdError`, with code 1 or 2 as `EXIT_CODES` says.
    """
    try:
        with explained_memory_errors("this command"):
            yield
    except Pose2IdError as error:
        show_error(str(error))
        failed = isinstance(error, WorkFailedError | QualityError)
        raise SystemExit(WORK_FAILED if failed else CANNOT_BE_DONE) from None


def show_error(text: str) -> None:
    """Writes what went wrong to stderr, as every command does."""
    message = "\n".join(printable(line[:MAX_LINE_CHARS]) for line in text.splitlines())
    if sys.stderr.isatty():
        from rich.text import Text

        console(stderr=True).print(Text.assemble(("error: ", "bold red"), message))
    else:
        sys.stderr.write(f"error: {message}\n")


def show(text: str) -> None:
    """Writes one line of result to stdout."""
    sys.stdout.write(f"{text}\n")


def show_note(text: str) -> None:
    """Writes a remark about the result to stderr, so that stdout can be piped on."""
    sys.stderr.write(f"{text}\n")


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """Prints a table: with rules and colours at a terminal, else aligned by spaces.

    Args:
        columns: Names of the columns.
        rows: Any values; long ones are shortened, see `cell`.
        title: Shown above the table at a terminal.
    """
    values = [[row[i] for row in rows] for i in range(len(columns))]
    numeric = [_is_numeric(column) for column in values]
    texts = [column_texts(column) for column in values]
    cells = [[column[i] for column in texts] for i in range(len(rows))]
    if not sys.stdout.isatty():
        show(aligned(columns, cells, numeric))
        return
    if _least_width(columns, cells, numeric) > console().width:
        show(records(columns, cells))
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    if title:
        table.title, table.title_justify = Text(title), "left"
    for name, is_number in zip(columns, numeric, strict=True):
        justify: Literal["left", "right"] = "right" if is_number else "left"
        table.add_column(Text(name), justify=justify, overflow="fold", no_wrap=is_number)
    for row in cells:
        table.add_row(*(Text(value) for value in row))
    console().print(table)


def records(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Rows too wide for a table, one below the other, a line per column.

    >>> print(records(["id", "mAP"], [["base", "4.1"]]))
    row 1
      id   base
      mAP  4.1
    """
    width = max(len(name) for name in columns)
    lines: list[str] = []
    for number, row in enumerate(cells, start=1):
        pairs = zip(columns, row, strict=True)
        lines += [
            f"row {number}",
            *(f"  {name.ljust(width)}  {text}".rstrip() for name, text in pairs),
        ]
    return "\n".join(lines)


def aligned(columns: Sequence[str], cells: Sequence[Sequence[str]], numeric: Sequence[bool]) -> str:
    r"""Columns of text aligned by spaces, numbers to the right.

    Args:
        columns: Names of the columns.
        cells: Texts, row by row.
        numeric: Per column, whether it holds numbers.

    Returns:
        One line per row below a line of names.

    >>> print(aligned(["id", "mAP"], [["base", "4.1"], ["ipg", "90.2"]], [False, True]))
    id     mAP
    base   4.1
    ipg   90.2
    """
    lines = [list(columns), *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if is_number else text.ljust(width)
            for text, width, is_number in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def column_texts(values: Sequence[object]) -> list[str]:
    """The texts of one column; fractions get the same number of digits, so that points align.

    >>> column_texts([0.5, None, 1.0]), column_texts([12.5, 3.25]), column_texts([1, "a"])
    (['0.5000', '', '1.0000'], ['12.50', '3.25'], ['1', 'a'])
    """
    fractions = [value for value in values if isinstance(value, float)]
    if not fractions or any(not isinstance(value, float | None) for value in values):
        return [cell(value) for value in values]
    finite = [abs(value) for value in fractions if math.isfinite(value)]
    digits = 4 if max(finite, default=0) < SMALL_NUMBER else 2
    return [f"{value:.{digits}f}" if isinstance(value, float) else "" for value in values]


def cell(value: object) -> str:
    """A value as short text for one table cell, without control characters.

    >>> [cell(v) for v in (None, 0.90394, 7, True, b"abc")]
    ['', '0.9039', '7', 'true', '<3 bytes>']
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, list | tuple):
        shown = ", ".join(cell(item) for item in value[:MAX_LIST_ITEMS])
        more = f", ... {len(value)} values" if len(value) > MAX_LIST_ITEMS else ""
        return f"[{shown}{more}]"
    text = printable(str(value))
    return text if len(text) <= MAX_CELL_CHARS else text[: MAX_CELL_CHARS - 3] + "..."


def printable(text: str) -> str:
    r"""Text with control characters replaced: a file's name must not steer the terminal.

    >>> printable("a\x1b[2Jb")
    'a?[2Jb'
    """
    return "".join(char if char.isprintable() else "?" for char in text)


def harmless_text(text: str) -> str:
    r"""Text that a spreadsheet shows and does not run: for a cell of a CSV file.

    Control characters are replaced, and text that begins like a formula gets an apostrophe before
    it, as spreadsheets themselves write it.

    >>> [harmless_text(t) for t in ("=1+1", "-1", "@SUM(A1)", "query/0001", "a\x00b", " =1")]
    ["'=1+1", "'-1", "'@SUM(A1)", 'query/0001', 'a?b', "' =1"]
    """
    text = printable(text)
    return f"'{text}" if text.lstrip().startswith(FORMULA_STARTS) else text


@contextlib.contextmanager
def progress(label: str, total: int, unit: str = "images") -> Iterator[Advance]:
    """A progress bar with rate and time left at a terminal; silent anywhere else.

    Args:
        label: What is being done.
        total: How many units there are; 0 when it is not known.
        unit: What is counted.

    Yields:
        A function to call with the number of units just done.
    """
    if not sys.stderr.isatty():
        yield lambda n_done, note="": None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}" if total else "{task.completed:.0f}"),
        TextColumn("{task.fields[unit]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as bars:
        task = bars.add_task(printable(label), total=total or None, unit=unit, rate="")

        def advance(n_done: int, note: str = "") -> None:
            bars.update(task, advance=n_done)
            speed = bars.tasks[0].speed
            bars.update(task, rate=note or (f"{speed:.1f} {unit}/s" if speed else ""))

        yield advance


def _least_width(
    columns: Sequence[str], cells: Sequence[Sequence[str]], numeric: Sequence[bool]
) -> int:
    """The width below which a table would have to hide something: texts fold, numbers do not."""
    widths = [max(len(line[i]) for line in (columns, *cells)) for i in range(len(columns))]
    folded = (w if n else min(w, FOLDED_TEXT_CHARS) for w, n in zip(widths, numeric, strict=True))
    return sum(folded) + 2 * len(columns)


def _is_numeric(values: Sequence[object]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(
        isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        for value in present
    )
