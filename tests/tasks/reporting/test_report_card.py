import json
import shutil
import subprocess

import pytest
import yaml

from tasks.reporting.card import data_digest, write_dataset_card
from tasks.reporting.tables import open_tables
from tasks.tables.schema import Layout
from tests.tasks.factory import Spec, write_project


def card(root, **overrides):
    params = write_project(root, Spec(identities=3, poses=2), **overrides)
    scratch = root / "scratch"
    scratch.mkdir()
    with open_tables(Layout(root), params, scratch) as tables:
        write_dataset_card(tables, root / "reports/dataset")
    return (root / "reports/dataset/README.md").read_text(encoding="utf-8")


def test_hugging_face_reads_the_header(tmp_path):
    text = card(tmp_path)
    _, header, body = text.split("---\n", 2)
    values = yaml.safe_load(header)
    assert values["license"] == "cc0-1.0"
    assert values["size_categories"] == ["n<1K"]
    assert "synthetic" in values["tags"]
    assert "All generated pictures are synthetic" in body
    assert "| query | 3 | 3 | 1 | 0 |" in body


def test_a_licence_of_its_own_and_a_retraction_are_said(tmp_path):
    dataset = {
        "name": "gone",
        "reader": "market1501",
        "root": "data/raw/gone",
        "licence": "academic <b>only</b>",
        "status": "retracted",
        "allow_retracted": True,
    }
    text = card(tmp_path, dataset=dataset)
    values = yaml.safe_load(text.split("---\n")[1])
    assert values["license"] == "other"
    assert values["license_name"] == "academic <b>only</b>"
    assert "retracted by its authors" in text
    assert "<b>only" not in text.split("---\n", 2)[2]


def test_croissant_is_valid_and_its_records_can_be_read(tmp_path):
    mlcroissant = pytest.importorskip("mlcroissant", reason="pip install mlcroissant")
    card(tmp_path)
    dataset = mlcroissant.Dataset(jsonld=tmp_path / "reports/dataset/croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    images = list(dataset.records("images"))
    assert len(images) == 3 + 15
    assert {row["images/image_id"].split(b"/")[0] for row in images} == {b"query", b"gallery"}
    picture = next(iter(dataset.records("generated")))
    assert picture["generated/image"].size == (32, 64)
    assert picture["generated/pose_id"] == 1


def test_croissant_describes_every_column_of_its_tables(tmp_path):
    card(tmp_path)
    described = json.loads((tmp_path / "reports/dataset/croissant.json").read_text())
    assert described["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    names = {f["name"] for r in described["recordSet"] for f in r["field"]}
    assert {"image_id", "pid", "camid", "image", "seed", "pose_id"} <= names


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not on this system")
def test_the_digest_is_that_of_what_sha256sum_prints(tmp_path):
    card(tmp_path)
    command = (
        "LC_ALL=C ls index/*.parquet generated/*/*.parquet quality/*.parquet"
        " | grep -v -e rejects -e expectations | xargs sha256sum | sha256sum"
    )
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path / "data", capture_output=True, text=True, check=True
    )
    digest = data_digest(tmp_path / "data", ("query", "gallery"))
    assert done.stdout.split()[0] == digest
