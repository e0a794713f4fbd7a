"""Mapping a stage's shards: a plain pool here, Prefect's task runners on a cluster."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from traceback import format_exception

from flows.orchestration.events import record_event
from flows.orchestration.jobs import OnDone, run_job
from flows.process.environment import environment, make_prefect_home
from pose2id.errors import Pose2IdError
from pose2id.workers import start_worker
from tasks.stages.base import Job, ShardReport
from tasks.tables.params import RuntimeParams

log = logging.getLogger("flows")

NETWORK_STAGES = ("generate", "features")


def map_shards(jobs: Sequence[Job], runtime: RuntimeParams, on_done: OnDone) -> list[ShardReport]:
    """Runs all shards of a stage.

    Only the runners that Prefect offers (ray, dask) involve it. The others record events for a
    pipeline flow, if there is one; a single shard is the stage's own task run there.

    Args:
        jobs: The shards.
        runtime: Runner, number of workers and retries.
        on_done: Called once per finished shard.

    Returns:
        The reports, in the order of `jobs`.

    Raises:
        Pose2IdError: A shard failed for a reason that a retry cannot mend.
        Exception: A shard failed more than `runtime.retries` times.
    """
    if runtime.on_cluster:
        return _map_on_cluster(jobs, runtime, on_done)
    n_workers = _n_workers(jobs[0], runtime)
    if len(jobs) > 1:
        root = Path(jobs[0].root)
        most_retries = 2 * runtime.retries  # after failures, and after kills of the worker process
        record_event(root, "shards", n_shards=len(jobs), retries=most_retries)
    if n_workers == 1:
        done = {}
        for job in jobs:
            done[job] = run_with_retries(job, runtime.retries)
            on_done(job, done[job])
    elif runtime.runner == "processes":
        done = _map_processes(jobs, runtime, n_workers, on_done)
    else:
        with ThreadPoolExecutor(n_workers) as pool:
            futures = {pool.submit(run_with_retries, job, runtime.retries): job for job in jobs}
            done = {}
            for future in as_completed(futures):
                job = futures[future]
                done[job] = future.result()
                on_done(job, done[job])
    return [done[job] for job in jobs]


def _map_on_cluster(
    jobs: Sequence[Job], runtime: RuntimeParams, on_done: OnDone
) -> list[ShardReport]:
    """Says at once what takes long; Prefect's server starts while Prefect and Ray are imported."""
    from flows.orchestration.clusters import check_address, cluster_note
    from flows.orchestration.temporary_server import start_unless_named

    first = jobs[0]
    note = f"{first.whole}: {cluster_note(runtime)}"
    log.info(note)
    record_event(Path(first.root), "note", text=note)
    check_address(runtime)
    make_prefect_home()
    server = start_unless_named()
    with environment({} if server is None else {"PREFECT_API_URL": server.address}):
        from flows.orchestration.cluster_shards import map_on_cluster

        if server is not None:
            server.wait()
        return map_on_cluster(jobs, runtime, on_done)


def run_with_retries(job: Job, retries: int) -> ShardReport:
    """Runs one shard, again if it fails for a reason that may pass.

    Raises:
        Pose2IdError: At once: data or parameters are at fault, trying again gives the same.
        Exception: The last failure, after `retries` more tries.
    """
    root = Path(job.root)
    record_event(root, "started", label=job.label)
    for left in range(retries, -1, -1):
        try:
            report = run_job(job)
        except Exception as error:
            final = left == 0 or isinstance(error, Pose2IdError)
            reason = "".join(format_exception(error))
            record_event(root, "failed" if final else "again", label=job.label, text=reason)
            if final:
                raise
            log.warning("%s failed, %d tries left", job.label, left, exc_info=True)
        else:
            record_event(root, "done", label=job.label, text=str(report))
            break
    return report


def _n_workers(job: Job, runtime: RuntimeParams) -> int:
    """Shards at once; by default one per core, as each computes on one, or one for a GPU."""
    if runtime.workers == "auto" and runtime.device != "cpu" and job.stage in NETWORK_STAGES:
        from pose2id.devices import resolve_device

        if resolve_device(runtime.device).type != "cpu":
            return 1
    return runtime.n_workers


def _map_processes(
    jobs: Sequence[Job], runtime: RuntimeParams, n_workers: int, on_done: OnDone
) -> dict[Job, ShardReport]:
    """Worker processes; when one is killed, a fresh pool takes the shards that are left."""
    done: dict[Job, ShardReport] = {}
    for left in range(runtime.retries, -1, -1):
        waiting = [job for job in jobs if job not in done]
        context = multiprocessing.get_context("spawn")
        try:
            with ProcessPoolExecutor(
                n_workers, mp_context=context, initializer=start_worker
            ) as pool:
                futures = {
                    pool.submit(run_with_retries, job, runtime.retries): job for job in waiting
                }
                for future in as_completed(futures):
                    done[futures[future]] = future.result()
                    on_done(futures[future], done[futures[future]])
        except BrokenProcessPool:
            if not left:
                raise
            log.warning("a worker process was killed, %d tries left", left)
        else:
            break
    return done
