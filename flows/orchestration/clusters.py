"""Prefect's task runners for Ray and Dask, local or on an existing cluster."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

from pose2id.errors import MissingDependencyError
from tasks.tables.params import RuntimeParams


def cluster_task_runner(runtime: RuntimeParams) -> Any:  # noqa: ANN401 - no common base class
    """The runner for `runtime.runner` ray or dask.

    Without `runtime.address` a local cluster of `runtime.workers` workers is started and ended
    with the stage.

    Raises:
        MissingDependencyError: The extra is not installed.
    """
    name = runtime.runner
    try:
        if name == "ray":
            from prefect_ray import RayTaskRunner
        else:
            from prefect_dask import DaskTaskRunner
    except ImportError as error:
        raise MissingDependencyError(
            f"runtime.runner {name!r} needs an extra: pip install 'pose2id[{name}]'"
        ) from error
    if name == "ray":
        local = {"num_cpus": runtime.n_workers, "include_dashboard": False}
        options = {} if runtime.address else {**local, "configure_logging": False}
        return RayTaskRunner(address=runtime.address, init_kwargs=options)
    if runtime.address:
        return DaskTaskRunner(address=runtime.address)
    return DaskTaskRunner(
        cluster_kwargs={
            "n_workers": runtime.n_workers,
            "threads_per_worker": 1,
            "dashboard_address": None,
        }
    )


def cluster_note(runtime: RuntimeParams) -> str:
    """What happens before the first shard is done, which may take a while.

    >>> cluster_note(RuntimeParams(runner="dask", workers=2))
    'starting a local dask cluster of 2 worker(s); the first shard may take a minute or two'
    """
    if runtime.address:
        return f"connecting to the {runtime.runner} cluster at {runtime.address}"
    return (
        f"starting a local {runtime.runner} cluster of {runtime.workers} worker(s); the first "
        "shard may take a minute or two"
    )


def gpu_per_shard(runtime: RuntimeParams) -> AbstractContextManager[Any]:
    """Within it, every shard that is submitted asks the cluster for a GPU of its own.

    Ray counts GPUs by itself; Dask's workers must be started with `--resources GPU=1`. Nothing is
    asked for unless `runtime.device` is `cuda`.
    """
    if runtime.device != "cuda":
        return nullcontext()
    if runtime.runner == "ray":
        from prefect_ray.context import remote_options

        return cast(AbstractContextManager[Any], remote_options(num_gpus=1))
    import dask

    return cast(AbstractContextManager[Any], dask.annotate(resources={"GPU": 1}))
