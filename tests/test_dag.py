"""The layers, the independence of stages and the dependencies that dvc.yaml declares."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from tasks.stages.base import STAGES

ROOT = Path(__file__).resolve().parents[1]
LAYERS = {
    "pose2id": {"pose2id"},
    "tasks": {"pose2id", "tasks"},
    "flows": {"pose2id", "tasks", "flows"},
}
FORBIDDEN = {
    "pose2id": {"prefect", "dvc", "great_expectations", "duckdb", "pyarrow"},
    "tasks": {"prefect", "dvc"},
}
# What every stage stands on: small modules that dvc.yaml names one by one.
CHOICES = ROOT / "pose2id/choices.py"  # words alone: one more changes no output
PARAMS = ROOT / "tasks/tables/params.py"
MODULES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]


def imported(tree: ast.AST) -> set[str]:
    """Dotted names of everything that code imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def resolved(tree: ast.AST) -> set[Path]:
    """The project's own modules that code imports directly."""
    found = set()
    for name in imported(tree):
        base = ROOT.joinpath(*name.split("."))
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if name.split(".")[0] in LAYERS and candidate.is_file():
                found.add(candidate)
    return found


def parsed(path: Path) -> ast.AST:
    """The code of a module."""
    return ast.parse(path.read_text(encoding="utf-8"))


def local_files(path: Path) -> set[Path]:
    """The project's own modules that a module imports directly."""
    return resolved(parsed(path))


def run_time_imports(path: Path) -> set[Path]:
    """The project's modules that a module imports when it is imported, or when it works.

    What stands under `if TYPE_CHECKING:` is never imported.
    """
    tree = parsed(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    return {found for found in resolved(tree) if found != path}


def circles(needs: dict[Path, set[Path]]) -> list[list[Path]]:
    """Groups of modules each of which needs all others of the group, directly or not."""
    reached: dict[Path, set[Path]] = {}
    for path in needs:
        todo, reached[path] = [path], set()
        while todo:
            new = needs.get(todo.pop(), set()) - reached[path]
            reached[path] |= new
            todo += new
    groups = {
        tuple(sorted(other for other in reached[path] if path in reached.get(other, ())))
        for path in needs
        if path in reached[path]
    }
    return [list(group) for group in sorted(groups)]


def names(paths: list[Path]) -> list[str]:
    """Paths within the checkout."""
    return [str(path.relative_to(ROOT)) for path in paths]


def closure(path: Path) -> set[Path]:
    """The project's own modules that a module needs, directly or not."""
    todo, seen = [path], {path}
    while todo:
        module = todo.pop()
        # Parameters are checked against every step; what a stage does with its own is DVC's
        # `params` to watch, so that a changed step does not draw pictures again.
        new = set() if module == PARAMS else local_files(module) - seen
        seen |= new
        todo += new
    return seen


def test_no_modules_import_each_other() -> None:
    needs = {path: run_time_imports(path) for path in MODULES}
    assert [names(circle) for circle in circles(needs)] == []


def test_a_circle_within_a_function_is_seen() -> None:
    a, b, c = Path("a"), Path("b"), Path("c")
    assert circles({a: {b}, b: {c}, c: {a}}) == [[a, b, c]]
    assert circles({a: {b, c}, b: {c}, c: set()}) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down_the_layers(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    tops = {name.split(".")[0] for name in imported(parsed(path))}
    assert not (tops & set(LAYERS)) - LAYERS[layer]
    assert not tops & FORBIDDEN.get(layer, set())


@pytest.mark.parametrize("stage", STAGES)
def test_stages_that_run_in_sequence_do_not_write_each_others_tables(stage: str) -> None:
    others = {ROOT / "tasks/stages" / f"{name}.py" for name in STAGES if name != stage}
    # poses.py also holds the reader of its own table, which generate uses
    allowed = {ROOT / "tasks/stages/poses.py"}
    assert not (local_files(ROOT / "tasks/stages" / f"{stage}.py") & others) - allowed


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_knows_the_code_that_a_stage_runs(stage: str) -> None:
    definition = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]
    declared = [ROOT / dep for dep in definition["deps"]]
    needed = closure(ROOT / "tasks/stages" / f"{stage}.py")
    uncovered = {
        str(path.relative_to(ROOT))
        for path in needed
        if path.name != "__init__.py"
        and path != CHOICES
        and not any(path == dep or dep in path.parents for dep in declared)
    }
    assert not uncovered


def test_every_stage_of_the_graph_is_a_stage_of_the_code() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert set(stages) == set(STAGES)
    for name, definition in stages.items():
        assert ("matrix" in definition) == STAGES[name]
