"""What a stage is: jobs that can run anywhere with the project's folder in reach."""

from __future__ import annotations

import importlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from pose2id.errors import ParamsError
from tasks.tables.params import Params
from tasks.tables.schema import Layout

# Held while a network is loaded, which shards on other threads wait for instead of loading it too.
LOADING = threading.Lock()

# Name -> whether the stage runs once per split. The order of stages is dvc.yaml's alone.
STAGES: dict[str, bool] = {
    "index": True,
    "keypoints": True,
    "poses": False,
    "generate": True,
    "features": True,
    "validate": True,
    "choose": False,
    "centralize": False,
    "audit": False,
    "score": False,
    "report": False,
}


@dataclass(frozen=True, slots=True)
class Job:
    """One shard of one stage; small and picklable, so it can be sent to any worker.

    Attributes:
        stage: Name of the stage.
        split: Split, or `""` for a stage over all splits.
        shard: Number of this shard, 0-based.
        n_shards: How many shards the stage has.
        root: The project's root folder, absolute.
        params: All parameters.
    """

    stage: str
    split: str
    shard: int
    n_shards: int
    root: str
    params: Params = field(hash=False)

    @property
    def layout(self) -> Layout:
        """Where this project's tables are."""
        return Layout(Path(self.root))

    @property
    def whole(self) -> str:
        """A name of the stage that it is a shard of, such as `generate query`."""
        return f"{self.stage} {self.split}".strip()

    @property
    def label(self) -> str:
        """A name for logs and pages, such as `generate query 3/8`."""
        return f"{self.whole} {self.shard + 1}/{self.n_shards}"


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What one shard did: rows in its outs, rows computed now, rows taken from the cache."""

    n_rows: int
    n_made: int = 0
    n_reused: int = 0
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        """For logs and pages."""
        counts = f"{self.n_rows} rows, {self.n_made} made, {self.n_reused} reused"
        return ", ".join([counts, *self.notes])


class StageModule(Protocol):
    """The functions of every stage module."""

    def plan(self, params: Params, root: Path, split: str) -> list[Job]:
        """Lists the shards."""
        ...

    def run_shard(self, job: Job) -> ShardReport:
        """Does one shard; doing it again gives the same files."""
        ...

    def merge(self, params: Params, root: Path, split: str, reports: list[ShardReport]) -> None:
        """Finishes the stage once all shards are done."""
        ...


def load_stage(name: str) -> StageModule:
    """Imports a stage's module.

    Raises:
        ParamsError: No stage has this name.
    """
    if name not in STAGES:
        raise ParamsError(f"there is no stage {name!r}; the stages are {', '.join(STAGES)}")
    module: Any = importlib.import_module(f"tasks.stages.{name}")
    return cast(StageModule, module)


def check_split(name: str, split: str, params: Params) -> None:
    """Checks that a split is given exactly when the stage wants one, and that it exists.

    Raises:
        ParamsError: It is not so.
    """
    if STAGES[name] and split not in params.splits:
        raise ParamsError(
            f"the stage {name!r} runs per split; got {split or 'none'!r}, "
            f"params.yaml lists {', '.join(params.splits)}"
        )
    if not STAGES[name] and split:
        raise ParamsError(f"the stage {name!r} runs once over all splits; got split {split!r}")


def jobs(stage: str, params: Params, root: Path, split: str, n_shards: int) -> list[Job]:
    """One job per shard."""
    return [
        Job(stage, split, shard, n_shards, str(root.resolve()), params) for shard in range(n_shards)
    ]
