"""Prefect's task runners for Ray and Dask, local or on an existing cluster."""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, cast
from urllib.parse import urlsplit

from flows.process.failure import WorkFailedError
from pose2id.errors import MissingDependencyError
from tasks.tables.params import RuntimeParams

CONNECT_WITHIN_S: Final = 10.0


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
        # "local": never one that happens to run on this machine.
        local = {"address": "local", "num_cpus": runtime.n_workers, "include_dashboard": False}
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
    """What happens before the first shard begins, which takes a while.

    >>> cluster_note(RuntimeParams(runner="dask", workers=2))
    'starting a local dask cluster of 2 worker(s), which takes half a minute'
    """
    if runtime.address:
        return f"connecting to the {runtime.runner} cluster at {runtime.address}"
    return (
        f"starting a local {runtime.runner} cluster of {runtime.n_workers} worker(s), which takes "
        "half a minute"
    )


class ClusterError(WorkFailedError):
    """The cluster cannot be reached."""


def check_address(runtime: RuntimeParams) -> None:
    """Refuses an address at which nobody listens: Ray would try for minutes, Dask for half of one.

    Raises:
        ClusterError: Nobody does.
    """
    place = urlsplit(f"//{(runtime.address or '').rpartition('//')[2]}")
    try:
        where = (place.hostname, place.port)
    except ValueError:  # not host:port; the runner itself knows what it means
        return
    if None in where:
        return
    try:
        socket.create_connection(where, CONNECT_WITHIN_S).close()
    except OSError as error:
        raise unreachable(runtime, error) from error


def unreachable(runtime: RuntimeParams, error: Exception) -> ClusterError:
    """The error for a cluster that cannot be reached, and what to look at."""
    advice = {
        "ray": "Has `ray start --head` run there? Where it asks for a token, this machine and all "
        "nodes need RAY_AUTH_MODE=token and the same ~/.ray/auth_token.",
        "dask": "Does `dask scheduler` run there?",
    }[runtime.runner]
    return ClusterError(
        f"no {runtime.runner} cluster can be reached at {runtime.address}: {error}. {advice} "
        "Or set runtime.address to null, and a cluster is started on this machine"
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
