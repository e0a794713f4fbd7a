import os
import stat

import pytest

from flows.process.privacy import load_project
from tests.flows.conftest import Stages


@pytest.fixture(autouse=True)
def usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_what_is_made_of_a_private_dataset_is_the_owners_alone(stages: Stages):
    stages.set(dataset__status="private")
    (stages.root / ".dvc/cache").mkdir(parents=True)
    load_project(stages.root / "params.yaml", stages.root)
    stages.stages("index", "poses", "generate", "features", "validate", "centralize")
    stages.stages("score", "report")
    made = [
        path
        for folder in ("data", "reports", ".cache")
        for path in (stages.root / folder).rglob("*")
        if path.suffix in (".parquet", ".html", ".svg", ".jpg", ".json", ".duckdb")
        and "pose2id" not in path.parts
        and path.stat().st_mtime > (stages.root / "params.yaml").stat().st_mtime
    ]
    assert len(made) > 30
    assert {oct(stat.S_IMODE(path.stat().st_mode) & 0o077) for path in made} == {"0o0"}
    for name in ("data", ".dvc/cache"):
        assert stat.S_IMODE((stages.root / name).stat().st_mode) & 0o077 == 0


def test_other_datasets_follow_the_umask(stages: Stages):
    load_project(stages.root / "params.yaml", stages.root)
    assert (stages.root / "data").stat().st_mode & 0o055 == 0o055
    os.umask(0o027)
    stages.stages("index")
    table = stages.root / "data/index/gallery.parquet"
    assert stat.S_IMODE(table.stat().st_mode) == 0o640
