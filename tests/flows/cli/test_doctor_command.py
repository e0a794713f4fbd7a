"""`pose2id doctor` on a project's own pictures and on networks named on the command line."""

from __future__ import annotations

import pytest
import torch
import yaml
from typer.testing import CliRunner

from flows.cli.main import app
from tests.tasks.factory import Spec, params_of, write_project

CODE = """
import torch
from torch import nn

class Bands(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))
    def forward(self, x):
        return (nn.functional.adaptive_avg_pool2d(x, (4, 2)) * self.scale).flatten(1)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    spec = Spec(identities=4, gallery_per_identity=4)
    write_project(tmp_path, spec)
    (tmp_path / "net").mkdir()
    (tmp_path / "net/network.py").write_text(CODE)
    torch.save({"scale": torch.ones(1)}, tmp_path / "net/good.pth")
    raw = params_of(spec).model_dump(mode="json", by_alias=True)
    raw["features"] = {
        "extractor": "torch",
        "model": "net",
        "options": {"module": "network.py:Bands", "weights": "good.pth"},
        "input": {"height_px": 32, "width_px": 16},
        "batch_size": 4,
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_network_of_the_project_is_examined_on_its_pictures(project):
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.output
    for words in (
        "alone and in a batch",
        "32x16 px",
        "24 numbers",
        "pictures/s",
        "mAP",
        "by chance",
    ):
        assert words in result.stdout


def test_an_unusable_network_ends_with_one(project):
    torch.save({"scale": torch.zeros(1)}, project / "net/zeros.pth")
    options = "{module: 'network.py:Bands', weights: zeros.pth}"
    result = CliRunner().invoke(app, ["doctor", "net", "--options", options])
    assert result.exit_code == 1
    assert "features of zeros" in result.stdout
    torch.save({"other": torch.zeros(1)}, project / "net/other.pth")
    options = "{module: 'network.py:Bands', weights: other.pth}"
    result = CliRunner().invoke(app, ["doctor", "net", "--options", options])
    assert result.exit_code == 1
    assert "unexpected keys other" in " ".join(result.stdout.split())
    result = CliRunner().invoke(app, ["doctor", "--options", "[1]"])
    assert result.exit_code == 2
