"""Damaged files and replaced images: the same tables in the end, or a clear error; never others."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.orchestration.events import follow
from flows.orchestration.watch import remember, unchanged
from flows.process.repair import end_orphan_server
from pose2id.errors import DataError, ImageChangedError, Pose2IdError
from tasks.stages.base import STAGES
from tasks.tables.history import append_run, last_completed
from tasks.tables.schema import Layout
from tests.flows.conftest import Stages

CHAIN = ("index", "poses", "generate", "features", "validate", "centralize")
# Kind of kept file -> the stage that reads it.
KEPT = {
    "generated": "generate",
    "features": "features",
    "scores": "validate",
    "neighbors": "centralize",
    "reference": "validate",
}
# Out -> the first stage that reads it.
OUTS = {
    "index": "generate",
    "generated": "features",
    "features": "validate",
    "quality": "centralize",
    "centralized": "score",
    "results": "report",
}


def flipped(content: bytes, part: float) -> bytes:
    position = int(part * (len(content) - 1))
    return content[:position] + bytes([content[position] ^ 0x10]) + content[position + 1 :]


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    **{
        f"bit at {part:.2f}": lambda path, part=part: path.write_bytes(
            flipped(path.read_bytes(), part)
        )
        for part in (0.0, 0.3, 0.6, 0.9, 0.97, 1.0)
    },
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "foreign": lambda path: path.write_bytes(b"%PDF-1.7\n" * 40),
    "folder": as_folder,
}


@pytest.fixture
def ran(stages: Stages) -> Stages:
    stages.set(splits=["query", "gallery"], tune__split="gallery")
    for stage in (*CHAIN, "score", "report"):
        for split in ("query", "gallery") if STAGES[stage] else ("",):
            stages.stage(stage, split)
    return stages


def tables(project: Stages) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted((project.root / "data").rglob("*.parquet"))}


def test_damaged_caches_are_named_put_aside_and_made_again(ran: Stages, caplog):
    expected, cache = tables(ran), ran.root / ".cache"
    for kind, stage in KEPT.items():
        kept = sorted(p for p in (cache / kind).rglob("*.parquet") if "query" not in str(p))
        assert kept, kind
        damages = (
            DAMAGES if stage != "validate" else {n: DAMAGES[n] for n in ("half", "bit at 0.90")}
        )
        for name, damage in damages.items():
            victim = sorted(p for p in (cache / kind).rglob("*.parquet") if "query" not in str(p))[
                0
            ]
            damage(victim)
            caplog.clear()
            for split in ("query", "gallery") if STAGES[stage] else ("",):
                ran.stage(stage, split)
            assert f"{victim.name} was damaged" in caplog.text, (kind, name)
            assert tables(ran) == expected, (kind, name)
    assert list((cache / "damaged").iterdir())


def test_damaged_outs_end_a_stage_with_the_file_and_what_to_do(ran: Stages):
    for out, stage in OUTS.items():
        victims = [
            p
            for p in sorted((ran.root / "data" / out).rglob("*.parquet"))
            if "expectations" not in p.name and "rejects" not in p.name
        ]
        victim = next(p for p in victims if "query" in str(p) or out == "results")
        whole = victim.read_bytes()
        for name, damage in DAMAGES.items():
            damage(victim)
            with pytest.raises(Pose2IdError) as raised:
                ran.stage(stage, "query" if STAGES[stage] else "")
            assert victim.stem in str(raised.value), (out, name)
            if victim.is_dir():
                victim.rmdir()
            victim.write_bytes(whole)


def test_an_image_replaced_between_stages_never_gets_the_old_key(ran: Stages):
    layout = Layout(ran.root)
    image = ran.images("query") / "0001_c1s1_000001_00.png"
    before, original = tables(ran), image.read_bytes()
    ran.set(features__batch_size=5)  # all features are wanted anew
    image.write_bytes((ran.images("gallery") / "0002_c2s1_000001_00.png").read_bytes())
    with pytest.raises(ImageChangedError, match=r"0001_c1s1_000001_00\.png has changed.*again"):
        ran.stage("features", "query")
    assert not layout.index("query").exists()  # the next run indexes it anew
    image.write_bytes(original)
    ran.stage("index", "query")
    ran.set(features__batch_size=16)
    ran.stage("features", "query")
    assert tables(ran) == before


def test_an_image_that_is_gone_is_named(ran: Stages):
    ran.set(features__batch_size=6)
    (ran.images("query") / "0001_c1s1_000001_00.png").unlink()
    with pytest.raises(DataError, match=r"0001_c1s1_000001_00\.png cannot be read.*again"):
        ran.stage("features", "query")


def test_the_history_survives_damage(tmp_path: Path, caplog):
    (tmp_path / "params.yaml").write_text("a: 1\n")

    def run(outcome: str) -> None:
        append_run(
            tmp_path,
            started=datetime.now(UTC),
            duration_s=1.0,
            trigger="flow",
            outcome=outcome,
            stage_seconds={},
        )

    layout = Layout(tmp_path)
    run("completed")
    for name, damage in DAMAGES.items():
        damage(layout.runs)
        caplog.clear()
        last = last_completed(layout)
        assert last is not None, name
        assert last["outcome"] == "completed", name
        assert "runs.parquet was damaged" in caplog.text, name
        run("failed")


def test_damaged_notes_of_runs_stop_nothing(tmp_path: Path):
    cache = tmp_path / ".cache"
    cache.mkdir()
    events = cache / "events-1.jsonl"
    good = json.dumps({"kind": "started", "label": "generate query 1/2"})
    bad = ["", "{", "[1]", "null", '{"kind": 3}', '{"kind": ["a"]}', '{"kind": "done"}', "\x00"]
    events.write_bytes("\n".join([*bad, good, ""]).encode() + b"\xff\xfe\n")
    ended = threading.Event()
    ended.set()
    assert list(follow(events, ended)) == [json.loads(good)]
    for content in (b"\xff\xfe", b"", b"[1", b"[1, 2]", b'{"a": 1}', b"3"):
        (cache / "prefect-server.json").write_bytes(content)
        end_orphan_server(tmp_path)
        (cache / "watched.txt").write_bytes(content)
        assert not unchanged(tmp_path, "abc")
    remember(tmp_path, "abc")
    assert unchanged(tmp_path, "abc")
