"""The Prefect server that runs report to."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from uuid import UUID

import psutil
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from flows.process.repair import is_alive
from pose2id.errors import Pose2IdError

WATCH_S = 1.0
RECORDED_WITHIN_S = 30.0
POLL_S = 0.02

log = logging.getLogger("flows")


class NoServerError(Pose2IdError):
    """There is no Prefect server to report to."""


def connect() -> str:
    """Makes sure that a Prefect server answers; without PREFECT_API_URL one is started.

    Returns:
        Its address, for processes that shall report to the same one.

    Raises:
        NoServerError: None answers.
    """
    # The server that may start here inherits the mask: Ctrl-C reaches the whole process group, and
    # the run that it ends still needs a server to tell; without one it would try for minutes.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with get_client(sync_client=True) as client:
            error = client.api_healthcheck()
            address = str(client.api_url)
    except (RuntimeError, ImportError, ValueError) as not_started:
        # ValueError and ImportError: a proxy of a kind that is not known stands in ALL_PROXY or the
        # like, and is refused though nothing goes through it.
        error = not_started
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if error is not None:
        raise NoServerError(
            f"no Prefect server answers: {error}. {_advice_on_proxies()}Start one "
            "with `make serve` and set PREFECT_API_URL, or give the built-in one more time "
            "(PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS), or do without: `dvc repro` needs "
            "no server and leaves the same tables"
        ) from error
    return address


def _advice_on_proxies() -> str:
    """Which variables name a proxy of a kind other than HTTP."""
    names = [
        name
        for name in ("ALL_PROXY", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy")
        if not os.environ.get(name, "http").startswith(("http", "socks5"))
    ]
    return f"{', '.join(names)} may be why: unset it for this command. " if names else ""


def wait_until_recorded(task_run_id: UUID) -> None:
    """Waits until a temporary server knows how a task run has ended.

    It learns so by events, in their order, a little later; what it has not recorded when it is
    ended is lost.

    Args:
        task_run_id: The task run that ended last.
    """
    deadline = time.monotonic() + RECORDED_WITHIN_S
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            with suppress(ObjectNotFound):
                state = client.read_task_run(task_run_id).state
                if state is not None and state.is_final():
                    return
            time.sleep(POLL_S)
    log.warning("the temporary Prefect server has not recorded all stages of this run")


@contextmanager
def ended_with(servers: Sequence[psutil.Process]) -> Iterator[None]:
    """Within it, this process ends as soon as its temporary server does.

    Prefect would try for minutes to reach the server, and could do nothing without it.

    Args:
        servers: The temporary server; nothing is watched if there is none.
    """
    over = threading.Event()

    def watch() -> None:
        while not over.wait(WATCH_S):
            if not all(map(is_alive, servers)):
                message = (
                    "error: the temporary Prefect server has ended, and the run with it; finished "
                    "stages and rows are kept. To go on, run the same command again"
                )
                os.write(2, f"\n{message}\n".encode())
                os._exit(1)  # the stage that runs ends with this process

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
