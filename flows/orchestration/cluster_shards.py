"""Shards on a Ray or Dask cluster, as task runs of Prefect's runners for them."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast
from uuid import UUID

from prefect import flow, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import as_completed
from prefect.tasks import Task

from flows.orchestration.clusters import cluster_task_runner, gpu_per_shard, unreachable
from flows.orchestration.events import PARENT_TASK_RUN
from flows.orchestration.jobs import OnDone, run_job
from flows.orchestration.prefect_server import connect
from flows.orchestration.shard_runs import run_below
from flows.process.environment import environment
from pose2id.errors import Pose2IdError
from tasks.stages.base import Job, ShardReport
from tasks.tables.params import RuntimeParams

log = logging.getLogger("flows")


def map_on_cluster(
    jobs: Sequence[Job], runtime: RuntimeParams, on_done: OnDone
) -> list[ShardReport]:
    """Runs all shards of a stage as task runs of one flow run named after the stage.

    Ray and Dask start killed workers again by themselves.

    Args:
        jobs: The shards of one stage.
        runtime: Runner, number of workers and retries.
        on_done: Called once per finished shard.

    Returns:
        The reports, in the order of `jobs`.

    Raises:
        ClusterError: No cluster answers at `runtime.address`.
    """
    first = jobs[0]
    stage_name = first.whole
    shard_task = task(
        name=first.stage,
        task_run_name="{job.label}",
        retries=runtime.retries,
        retry_delay_seconds=1,
        retry_condition_fn=_may_pass,
        persist_result=False,
    )(run_job)

    sent: list[Job] = []
    done: dict[Job, ShardReport] = {}

    @flow(
        name=f"stage {first.stage}",
        flow_run_name=stage_name,
        task_runner=cluster_task_runner(runtime),
        persist_result=False,
        validate_parameters=False,
    )
    def stage_flow() -> None:
        """Submits every shard and waits for all of them."""
        with gpu_per_shard(runtime):
            futures = {shard_task.submit(job): job for job in jobs}
        sent.extend(jobs)
        log.info("%s: %d shards are sent; workers load their networks first", stage_name, len(jobs))
        progress = cast(UUID, create_progress_artifact(0.0, description=stage_name))
        for future in as_completed(list(futures)):
            job = futures[future]
            done[job] = future.result()
            on_done(job, done[job])
            update_progress_artifact(progress, 100 * len(done) / len(jobs))

    def run() -> None:
        if parent := os.environ.get(PARENT_TASK_RUN):
            run_below(stage_flow, stage_name, UUID(parent))
        else:
            stage_flow()

    def run_patiently() -> None:
        try:
            run()
        except ConnectionAbortedError:
            if sent or not runtime.address:
                raise
            # A cluster whose machine is busy may not start our server process in Ray's 30 s.
            log.warning("%s: the cluster answered, then gave up; trying once more", stage_name)
            run()

    # Prefect would take over SIGTERM in the main thread, and then wait for running shards.
    with environment({"PREFECT_API_URL": connect()}), ThreadPoolExecutor(1) as pool:
        try:
            pool.submit(run_patiently).result()
        except (OSError, RuntimeError) as error:
            if sent or not runtime.address:
                raise
            raise unreachable(runtime, error) from error
    return [done[job] for job in jobs]


def _may_pass(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether trying again can help: not when the data or the parameters are at fault."""
    error = state.result(raise_on_failure=False)
    return not isinstance(error, Pose2IdError)
