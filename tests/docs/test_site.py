"""The documentation site: built without network, without a warning, and asking nobody else."""

from __future__ import annotations

import doctest
import importlib.util
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

import pose2id
from tests.conftest import ROOT

FROM_ELSEWHERE = re.compile(r"^(https?:)?//")


def load_dag():
    spec = importlib.util.spec_from_file_location("dag", ROOT / "docs" / "dag.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, from a copy of what it is made from."""
    folder = tmp_path_factory.mktemp("documentation")
    for name in ("docs", "pose2id"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("mkdocs.yml", "dvc.yaml"):
        shutil.copy(ROOT / name, folder)
    commands = ([sys.executable, "docs/dag.py"], [sys.executable, "-m", "zensical", "build", "-s"])
    for command in commands:
        # a proxy that nobody serves: whoever asked the network would fail
        offline = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
        done = subprocess.run(
            command,
            cwd=folder,
            env={**offline, "NO_COLOR": "1", "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


class Resources(HTMLParser):
    """Everything that a browser would load by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in {"script", "img", "iframe", "source", "video", "audio", "embed"}:
            self.found.append(values.get("src") or "")
        if tag == "link" and values.get("rel") not in {"canonical", "next", "prev", "alternate"}:
            self.found.append(values.get("href") or "")


def test_no_page_loads_anything_from_elsewhere(site: Path):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        resources = Resources()
        resources.feed(page.read_text(encoding="utf-8"))
        assert resources.found
        assert [name for name in resources.found if FROM_ELSEWHERE.match(name)] == []
    for sheet in site.rglob("*.css"):
        imported = re.findall(
            r"(?:@import|url\()\s*[\"']?((?:https?:)?//[^\"')]+)", sheet.read_text()
        )
        assert imported == []


def test_the_reference_has_every_public_name(site: Path):
    page = (site / "reference" / "index.html").read_text(encoding="utf-8")
    headings = set(re.findall(r'id="pose2id\.([\w.]+)"', page))
    assert set(pose2id.__all__) - headings == set()


def test_no_code_is_published(site: Path):
    assert list(site.rglob("*.py")) == []


def test_the_picture_shows_every_stage_of_the_graph(site: Path):
    picture = ET.parse(site / "pictures" / "dag.svg")
    texts = {element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")}
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert set(stages) <= texts


def test_the_graph_is_that_of_dvc(tmp_path: Path):
    dag = load_dag()
    assert doctest.testmod(dag).failed == 0
    graph = dag.read_graph((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    assert set(graph["centralize"]) >= {"features", "validate"}
    assert set(graph["generate"]) == {"index", "poses"}
    assert {("validate", "choose"), ("choose", "centralize")} <= set(dag.direct(graph))
    assert ("features", "centralize") not in dag.direct(graph)  # validate reads features too
    with pytest.raises(ValueError, match="circle"):
        dag.columns({"a": {"b": set()}, "b": {"a": set()}})
