"""The wheel holds the library alone, and the library needs five packages and no more."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import pose2id
from tests.conftest import ROOT

NEEDED = ("numpy", "scipy", "torch", "pillow", "safetensors")
TEN_LINES = """
import numpy as np
from pose2id import evaluate, fuse, l2_normalize, nfc

noise = np.random.default_rng(0)
pids, camids = np.tile(np.arange(20), 4), np.repeat(np.arange(4), 20)
features = noise.normal(size=(20, 16))[pids] + 0.9 * noise.normal(size=(80, 16))
drawings = noise.normal(size=(20, 16))[pids][:, None] * np.ones((1, 3, 1))
base, better = l2_normalize(features), nfc(fuse(features, drawings, eta=0.5))
for side in (base, better):
    scores = evaluate(
        side[:20],
        side[20:],
        query_pids=pids[:20],
        gallery_pids=pids[20:],
        query_camids=camids[:20],
        gallery_camids=camids[20:],
    )
    print(f"{scores.mAP:.3f}")
"""
BEFORE = "import sys; at_start = set(sys.modules)"  # setuptools has a .pth file
LOADED = """
import importlib.metadata
tops = {name.partition(".")[0] for name in set(sys.modules) - at_start}
owners = importlib.metadata.packages_distributions()
print("loaded:", *sorted({owner for top in tops for owner in owners.get(top, ())}))
"""


def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs pip, which would take a checkout on PYTHONPATH for an installed pose2id."""
    return subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the checkout so that nothing is left in it."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pose2id", "tasks", "flows"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    done = pip("wheel", "-q", "--no-deps", "-w", str(folder / "dist"), str(folder))
    if "No matching distribution found for setuptools" in done.stderr:
        pytest.skip("pip cannot reach its index, which it builds a wheel with")
    assert done.returncode == 0, done.stderr
    (built,) = (folder / "dist").glob("*.whl")
    return built


def requirements(name: str) -> set[str]:
    """Names of what a distribution needs here, without extras, itself included."""
    found = {name}
    for line in metadata.requires(name) or ():
        requirement, _, marker = line.partition(";")
        if "extra ==" not in marker and "win32" not in marker:
            other = re.split(r"[\s<>=!~\[(]", requirement.strip())[0]
            if other not in found and _installed(other):
                found |= requirements(other)
    return found


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the wheel and what it asks for: links to the folders of this one."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    made = folder / "bin" / "python"
    site = next((folder / "lib").glob("python*")) / "site-packages"
    for name in set().union(*map(requirements, NEEDED)):
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or () if ".." not in file.parts}:
            source = Path(str(distribution.locate_file(top)))
            if source.exists() and not (site / top).exists():
                (site / top).symlink_to(source)
    done = pip("--python", str(made), "install", "-q", "--no-deps", "--no-index", str(wheel))
    assert done.returncode == 0, done.stderr
    return made


def run(python: Path, code: str) -> list[str]:
    done = subprocess.run(
        [str(python), "-I", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_metadata_asks_for_five_packages():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[(.+?)^\]", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    assert sorted(re.findall(r'"([a-z]+)', block[1])) == sorted(NEEDED)


@pytest.mark.slow
def test_the_wheel_holds_the_library_and_its_data_alone(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"pose2id", f"pose2id-{pose2id.__version__}.dist-info"}
    data = {name for name in names if name.startswith("pose2id/") and not name.endswith(".py")}
    on_disk = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "pose2id").rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert data == on_disk
    assert "pose2id/py.typed" in data


@pytest.mark.slow
def test_importing_it_imports_nothing_else(python: Path):
    assert run(python, f"{BEFORE}\nimport pose2id\n{LOADED}")[-1] == "loaded: pose2id"


@pytest.mark.slow
def test_ten_lines_run_with_these_packages_alone(python: Path):
    base, better, loaded = run(python, BEFORE + TEN_LINES + LOADED)
    assert float(better) > float(base)
    there = set().union(*map(requirements, NEEDED), ["pose2id"])
    asked_for = {re.sub(r"[-_.]+", "-", name).lower() for name in there}
    used = {re.sub(r"[-_.]+", "-", name).lower() for name in loaded.split()[1:]}
    assert {"numpy", "pose2id"} <= used <= asked_for


@pytest.mark.slow
def test_what_an_extra_brings_is_missed_with_its_name(python: Path):
    code = """
import pose2id
from pose2id.errors import MissingDependencyError
try:
    pose2id.IpgGenerator
except MissingDependencyError as error:
    print(error)
"""
    assert "pip install 'pose2id[generation]'" in run(python, code)[-1]
