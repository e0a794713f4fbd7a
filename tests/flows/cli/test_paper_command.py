"""The paper's tables, end to end on rendered people with random weights of the same family."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from flows.cli.main import app
from flows.cli.paper import TABLES
from pose2id.errors import ParamsError
from pose2id.extractors import transreid
from pose2id.extractors.transreid import TransReid, VitSize
from pose2id.generation.checkpoints import save_model
from tasks.studies.paper import load_paper_table, plan_runs
from tests.conftest import ROOT
from tests.pose2id.extractors.checkpoints import save
from tests.tiny import make_tiny_model

SIZE = VitSize(24, 3, 2)


@pytest.fixture
def market(tmp_path):
    """Six people in boards of their own colour, two cameras, in Market-1501's names."""
    rng = np.random.default_rng(0)
    for folder, shots in (("query", 1), ("bounding_box_test", 2)):
        target = tmp_path / "data/market1501" / folder
        target.mkdir(parents=True)
        for pid in range(1, 7):
            board = np.random.default_rng(pid).integers(0, 256, (8, 1, 3))
            for shot in range(shots):
                for camera in (1, 2):
                    noisy = np.clip(board + rng.normal(0, 12, (8, 8, 3)), 0, 255)
                    picture = Image.fromarray(noisy.astype(np.uint8)).resize((32, 64))
                    picture.save(target / f"{pid:04d}_c{camera}s1_{shot:06d}_00.png")
    return tmp_path


def test_every_table_is_readable_and_names_what_is_missing():
    for file in sorted((ROOT / TABLES).glob("*.yaml")):
        table = load_paper_table(file)
        assert table.rows
        runs = list(plan_runs(table, Path("nowhere"), Path("nowhere"), {}))
        assert sum(len(run.rows) for run in runs) == len(table.rows)
        assert all(run.missing for run in runs)
    with pytest.raises(ParamsError, match=r"no table 'table9'; there are: components, table1"):
        load_paper_table(ROOT / TABLES / "table9.yaml")


def test_rows_that_can_be_run_stand_beside_the_published(market, monkeypatch):
    monkeypatch.setitem(transreid.SIZES, "base", SIZE)
    weights = market / "weights"
    (weights / "transreid").mkdir(parents=True)
    save(weights / "transreid/a.pth", TransReid(SIZE, 10, 12, 0, True))
    save_model(make_tiny_model(), weights / "ipg")
    overrides = {
        "features": {"input": {"height_px": 64, "width_px": 32}, "batch_size": 4},
        "generate": {"steps": 1, "guidance_scale": 1.0},
        "poses": {"ids": [1, 2]},
        "runtime": {"workers": 1, "device": "cpu"},
        "shards": 1,
        "validate": {"max_quarantine_rate": 1.0, "max_collapsed_fraction": 1.0},
    }
    arguments = [
        *("paper", "components", "--data", str(market / "data"), "--weights", str(weights)),
        *("--work", str(market / "work"), "--tables", str(ROOT / TABLES)),
        *("--overrides", yaml.safe_dump(overrides, default_flow_style=True)),
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "not run" not in result.stdout
    lines = [line.split() for line in result.stdout.splitlines() if line.startswith("market1501")]
    assert len(lines) == 8
    base = lines[0]
    assert base[2] == "base"
    ours, published, difference = (float(number) for number in base[3:6])
    assert 0 < ours <= 100
    assert published == 79.88
    assert difference == pytest.approx(ours - published, abs=0.02)


def test_what_is_missing_is_said(market):
    arguments = [
        "paper",
        "table1",
        "--data",
        str(market / "data"),
        "--weights",
        str(market / "weights"),
    ]
    result = CliRunner().invoke(app, [*arguments, "--tables", str(ROOT / TABLES)])
    assert result.exit_code == 0, result.output
    assert "its licence forbids carrying its code" in result.output
    assert f"no checkpoint in {market}/weights/pmt" in result.output.replace("\n", "")
    assert "no images in" in result.output
    assert CliRunner().invoke(app, ["paper", "../x", *arguments[2:]]).exit_code == 2
