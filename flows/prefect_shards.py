"""Shards as Prefect task runs, below the pipeline's own flow run where there is one."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, cast
from uuid import UUID

from prefect import flow, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, TaskRun
from prefect.flow_engine import run_flow
from prefect.flows import Flow
from prefect.futures import as_completed
from prefect.states import Pending
from prefect.tasks import Task

from flows.clusters import cluster_task_runner, gpu_per_shard
from flows.ending import start_worker
from flows.environment import environment
from flows.prefect_server import connect
from flows.shards import PARENT_TASK_RUN, OnDone, run_job
from pose2id.errors import Pose2IdError
from tasks.params import RuntimeParams
from tasks.stage import Job, ShardReport

log = logging.getLogger("flows")


def map_with_prefect(
    jobs: Sequence[Job], runtime: RuntimeParams, on_done: OnDone
) -> list[ShardReport]:
    """Runs all shards of a stage as task runs of one flow run named after the stage.

    Args:
        jobs: The shards of one stage.
        runtime: Runner, number of workers and retries.
        on_done: Called once per finished shard.

    Returns:
        The reports, in the order of `jobs`.
    """
    first = jobs[0]
    stage_name = f"{first.stage} {first.split}".strip()
    shard_task = task(
        name=first.stage,
        task_run_name="{job.label}",
        retries=runtime.retries,
        retry_delay_seconds=1,
        retry_condition_fn=_may_pass,
        persist_result=False,
    )(run_job)

    done: dict[Job, ShardReport] = {}

    @flow(
        name=f"stage {first.stage}",
        flow_run_name=stage_name,
        task_runner=_task_runner(runtime),
        persist_result=False,
        validate_parameters=False,
    )
    def stage_flow() -> None:
        """Submits every shard that is left and waits for all of them."""
        with gpu_per_shard(runtime):
            futures = {shard_task.submit(job): job for job in jobs if job not in done}
        progress = cast(UUID, create_progress_artifact(0.0, description=stage_name))
        for future in as_completed(list(futures)):
            job = futures[future]
            done[job] = future.result()
            on_done(job, done[job])
            update_progress_artifact(progress, 100 * len(done) / len(jobs))

    for left in range(runtime.retries, -1, -1):
        try:
            # Prefect would take over SIGTERM in the main thread, and then wait for running shards.
            with environment({"PREFECT_API_URL": connect()}), ThreadPoolExecutor(1) as pool:
                pool.submit(_run_below_parent, stage_flow, stage_name).result()
        except BrokenProcessPool:  # Ray and Dask start killed workers again by themselves
            if not left:
                raise
            log.warning("a worker process was killed, %d tries left", left)
        else:
            break
    return [done[job] for job in jobs]


def _run_below_parent(stage_flow: Flow[[], None], stage_name: str) -> None:
    parent = os.environ.get(PARENT_TASK_RUN)
    if parent is None:
        stage_flow()
        return
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(
            stage_flow, name=stage_name, parent_task_run_id=UUID(parent), state=Pending()
        )
    run_flow(stage_flow, flow_run=run)


def _may_pass(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether trying again can help: not when the data or the parameters are at fault."""
    error = state.result(raise_on_failure=False)
    return not isinstance(error, Pose2IdError)


def _task_runner(runtime: RuntimeParams) -> Any:  # noqa: ANN401 - Prefect's runners share no base
    if runtime.runner == "processes":
        from prefect.task_runners import ProcessPoolTaskRunner

        return ProcessPoolTaskRunner(max_workers=runtime.workers, initializer=start_worker)
    if runtime.runner == "threads":
        from prefect.task_runners import ThreadPoolTaskRunner

        return ThreadPoolTaskRunner(max_workers=runtime.workers)
    return cluster_task_runner(runtime)
