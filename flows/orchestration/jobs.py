"""One shard in this process, whichever runner has brought it here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flows.process.disk import explained_disk_errors
from flows.process.memory import explained_memory_errors
from flows.process.privacy import keep_private
from tasks.stages.base import Job, ShardReport, load_stage

OnDone = Callable[[Job, ShardReport], None]


def run_job(job: Job) -> ShardReport:
    """Runs one shard in this process.

    Raises:
        Pose2IdError: Data, parameters or the disk are at fault.
    """
    keep_private(job.params.dataset, Path(job.root))  # a cluster's worker comes by no other way
    with explained_disk_errors(job.label), explained_memory_errors(job.label):
        return load_stage(job.stage).run_shard(job)
