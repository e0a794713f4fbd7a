"""What `from pose2id import ...` promises: every name is there, documented, and shown in use."""

from __future__ import annotations

import ast
import doctest
import inspect
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest

import pose2id
from tests.conftest import ROOT

LOADED_IN_ITS_DOCTEST = {"IpgGenerator"}  # shown on a model that its own tests build


def fresh(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_three_lists_of_names_agree():
    tree = ast.parse((ROOT / "pose2id" / "__init__.py").read_text(encoding="utf-8"))
    checked = next(
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    for_type_checkers = {
        alias.name: node.module
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert for_type_checkers == pose2id._HOMES
    assert pose2id.__all__ == sorted(pose2id._HOMES)
    assert set(pose2id.__all__) < set(dir(pose2id))


@pytest.mark.parametrize("name", pose2id.__all__)
def test_every_name_is_there_and_documented(name: str):
    value = getattr(pose2id, name)
    assert value is getattr(import_module(pose2id._HOMES[name]), name)
    text = inspect.getdoc(value) or ""
    assert len(text.splitlines()) > 3
    documented = inspect.getdoc(value.__init__) or "" if inspect.isclass(value) else ""
    for parameter in inspect.signature(value).parameters:
        assert f"{parameter}:" in text + documented, f"{name}({parameter}) is not explained"


@pytest.mark.parametrize("name", pose2id.__all__)
def test_every_name_is_shown_in_use(name: str):
    value = getattr(pose2id, name)
    tests = doctest.DocTestFinder(recurse=False).find(value, name)
    assert sum(len(test.examples) for test in tests) > 0


def test_an_unknown_name_is_said_to_be_unknown():
    with pytest.raises(AttributeError, match="'nothing'"):
        pose2id.nothing  # noqa: B018
    with pytest.raises(ImportError, match="nothing"):
        from pose2id import nothing  # noqa: F401


def test_importing_it_imports_neither_numpy_nor_torch():
    done = fresh("import sys, pose2id; print(sorted({'numpy', 'torch'} & set(sys.modules)))")
    assert done.stdout.strip() == "[]", done.stderr


def test_a_step_on_arrays_is_there_without_torch():
    names = "nfc, fuse, kwf, whiten, camera_normalize, second_opinion, query_expansion"
    done = fresh(f"from pose2id import {names}; import sys; print('torch' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


def test_the_version_is_that_of_the_package():
    assert pose2id.__version__.count(".") == 2


@pytest.mark.parametrize(
    "name",
    [
        *("l2_normalize", "nfc", "kwf", "query_expansion", "whiten", "camera_normalize", "fuse"),
        "second_opinion",
    ],
)
def test_steps_keep_the_rows_and_give_float32(name: str):
    features = np.random.default_rng(3).normal(size=(10, 4))
    others = {"camera_normalize": (np.arange(10) % 2,), "fuse": (features[:, None],)}
    others["second_opinion"] = (features[:, :2],)
    result = getattr(pose2id, name)(features, *others.get(name, ()))
    assert result.shape[0] == 10
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
