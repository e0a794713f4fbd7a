"""The Prefect server that runs report to."""

from __future__ import annotations

import signal

from prefect.client.orchestration import get_client

from pose2id.errors import Pose2IdError


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
    except RuntimeError as not_started:
        error = not_started
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if error is not None:
        raise NoServerError(
            f"no Prefect server answers: {error}. Start one with `make serve` and set "
            "PREFECT_API_URL, or give the built-in one more time "
            "(PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS), or do without: `dvc repro` needs "
            "no server and leaves the same tables"
        ) from error
    return address
