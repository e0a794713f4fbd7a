import subprocess
import sys

import pytest

from flows.cli.console import (
    aligned,
    cell,
    column_texts,
    friendly_errors,
    printable,
    progress,
    records,
)
from pose2id.errors import DataError

COMMANDS = ("flows.cli.export", "flows.cli.query", "flows.cli.search")
HEAVY = ("torch", "duckdb", "pyarrow", "numpy", "pandas", "PIL", "prefect", "dvc")


def test_the_commands_start_without_heavy_imports():
    code = (
        "import importlib, sys\n"
        f"for name in {COMMANDS}: importlib.import_module(name)\n"
        f"print(*(name for name in {HEAVY} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_an_error_for_the_user_is_a_message_and_exit_code_2(capsys):
    with pytest.raises(SystemExit) as stop, friendly_errors():
        raise DataError("there is no table at x; run: dvc repro")
    assert stop.value.code == 2
    output = capsys.readouterr()
    assert output.err == "error: there is no table at x; run: dvc repro\n"
    assert output.out == ""


def test_a_defect_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), friendly_errors():
        raise ZeroDivisionError


def test_names_of_files_cannot_steer_the_terminal(capsys):
    with pytest.raises(SystemExit), friendly_errors():
        raise DataError("no file \x1b]0;owned\x07\x1b[2J")
    assert "\x1b" not in capsys.readouterr().err
    assert printable("a\x9bb\r\u202ec") == "a?b??c"


def test_tables_of_pipes_are_aligned_text():
    lines = aligned(["id", "mAP"], [["base", "4.10"], ["x", "90.25"]], [False, True]).splitlines()
    assert lines == ["id      mAP", "base   4.10", "x     90.25"]


def test_a_table_without_rows_shows_its_columns():
    assert aligned(["id", "mAP"], [], [False, False]) == "id  mAP"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (b"12345", "<5 bytes>"),
        ([1.5, 2.5], "[1.5, 2.5]"),
        (list(range(1280)), "[0, 1, 2, 3, 4, 5, ... 1280 values]"),
        ("line\nbreak", "line?break"),
        ("x" * 500, "x" * 117 + "..."),
    ],
)
def test_values_are_short_texts(value, text):
    assert cell(value) == text


def test_fractions_of_a_column_have_the_same_digits():
    assert column_texts([0.5, 0.02696, None]) == ["0.5000", "0.0270", ""]
    assert column_texts([3.5, 12.0]) == ["3.50", "12.00"]
    assert column_texts([float("nan"), 0.25]) == ["nan", "0.2500"]
    assert column_texts([1, 2]) == ["1", "2"]


def test_rows_too_wide_for_a_table_are_listed_whole():
    assert records(["id", "mAP"], [["base", "4.1"], ["ipg", ""]]).splitlines() == [
        "row 1",
        "  id   base",
        "  mAP  4.1",
        "row 2",
        "  id   ipg",
        "  mAP",
    ]


def test_progress_is_silent_where_nobody_looks(capsys):
    with progress("export", 3) as advance:
        advance(1)
        advance(2)
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "")
