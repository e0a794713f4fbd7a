"""The Prefect server of a single run, which starts while the run still imports Prefect.

Prefect would start one as well, but later, and by importing the server's whole code into the run.
"""

from __future__ import annotations

import atexit
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from pose2id.workers import end_with_parent

ENDS_WITHIN_S = 5.0
POLL_S = 0.05
# Looking for garbage again and again while so much is imported takes a tenth of its start.
UVICORN = "import gc; gc.set_threshold(200_000, 50, 100); from uvicorn.main import main; main()"
SETTINGS = {
    # As Prefect starts its own: the API alone, and no settings but those given here.
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    # To look for block types, of which a run needs none, it would import dask and ray.
    "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "0",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "0",
    # One statement for many task runs, once a second, instead of one for each state of each.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}


class TemporaryServer:
    """A server that ends with this process.

    Attributes:
        address: What `PREFECT_API_URL` must say before Prefect is imported.
    """

    def __init__(self) -> None:
        """Starts it, and does not wait for it."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        spec = find_spec("prefect")
        folder = Path(spec.origin).parents[1] if spec and spec.origin else Path()
        command = [
            *(sys.executable, "-c", UVICORN, "--app-dir", str(folder)),
            *("--factory", "prefect.server.api.server:create_app"),
            *("--host", "127.0.0.1", "--port", str(self._port)),
            *("--log-level", "error", "--lifespan", "on"),
        ]
        # The server inherits the mask: Ctrl-C reaches the whole process group, and the run that it
        # ends still needs a server to tell.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process = subprocess.Popen(
                command, env={**os.environ, **SETTINGS}, preexec_fn=end_with_parent
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        atexit.register(self._end)  # what Prefect registers later is done by then
        self.address = f"http://127.0.0.1:{self._port}/api"

    def wait(self, needless: Callable[[], bool] = lambda: False) -> None:
        """Waits until it answers, or has ended, or takes longer than it may.

        Args:
            needless: Whether there is no need to wait any more.
        """
        wait_until_answers(self.address, lambda: self._process.poll() is None and not needless())

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def wait_until_answers(address: str, goes_on: Callable[[], bool] = lambda: True) -> None:
    """Waits until a server of this machine answers, or takes longer than it may.

    Args:
        address: Of its API.
        goes_on: Whether there is still something to wait for.
    """
    longest = float(os.environ["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"])
    deadline = time.monotonic() + longest
    while not _answers(address) and goes_on() and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _answers(address: str) -> bool:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=ENDS_WITHIN_S)
    try:
        connection.request("GET", f"{parts.path}/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def start_unless_named() -> TemporaryServer | None:
    """Starts a server, unless the user's settings may name a lasting one.

    Once Prefect is imported it has read its settings, and starts one itself where it needs to.
    """
    if "prefect" in sys.modules:
        return None
    home = Path(os.environ["PREFECT_HOME"])
    variables = ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH")
    files = (home / "profiles.toml", Path("prefect.toml"), Path(".env"))
    if any(name in os.environ for name in variables) or any(file.exists() for file in files):
        return None
    return TemporaryServer()
