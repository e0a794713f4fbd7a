"""A Prefect server, work pool, the nightly deployment and a worker, as processes of this one."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from flows.cli.console import show
from flows.orchestration import report_server
from flows.orchestration.report_server import HOST
from flows.process.environment import REPORT_URL, SERVER_PASSWORD, make_prefect_home
from flows.process.failure import WorkFailedError

START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 15
POOL = "pose2id"


class ServeError(WorkFailedError):
    """Prefect's server or worker could not be started."""


def serve(root: Path, port: int) -> None:
    """Serves the deployments of prefect.yaml, and the report, from this folder until stopped.

    Args:
        root: The project's root folder.
        port: Of the server, on loopback only; the report is served on the next one.

    Raises:
        ServeError: The server or the worker could not be started.
        ReportServerError: The report's port is taken.
    """
    make_prefect_home()
    environment = serving_environment(root, port)
    signal.signal(signal.SIGTERM, _interrupt)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        path = report_server.secret_path(environment["PREFECT_API_AUTH_STRING"])
        report = stack.enter_context(report_server.served(root / "reports", port + 1, path))
        environment[REPORT_URL] = report
        server = ["server", "start", "--host", HOST, "--port", str(port)]
        stack.enter_context(process(server, environment, root / ".cache" / "prefect-server.log"))
        wait_for_server(port)
        prefect(["work-pool", "create", POOL, "--type", "process", "--overwrite"], environment)
        prefect(["--no-prompt", "deploy", "--all"], environment)
        worker = ["worker", "start", "--pool", POOL]
        running = stack.enter_context(
            process(worker, environment, root / ".cache" / "prefect-worker.log")
        )
        show(f"Prefect is at http://{HOST}:{port}; the deployment pose2id/nightly is scheduled.")
        show(
            f"The page and the API ask for the password in {secret_file(root)}, which only you can "
            "read: who reaches the API can start code as you."
        )
        show(f"The report is at {report}; who has this address can read it.")
        show(
            f"Start a run now: PREFECT_API_URL={environment['PREFECT_API_URL']} "
            f'PREFECT_API_AUTH_STRING="$(cat {secret_file(Path())})" '
            "prefect deployment run pose2id/nightly"
        )
        show("Stop with Ctrl-C; the schedule is kept and resumes with the next `make serve`.")
        running.wait()


def serving_environment(root: Path, port: int) -> dict[str, str]:
    """The environment of server, worker and runs; everything on loopback, behind a password.

    Every user of this machine reaches a port on loopback.
    """
    secret = os.environ.get("PREFECT_SERVER_API_AUTH_STRING") or own_secret(root)
    return {
        **os.environ,
        "PREFECT_SERVER_API_AUTH_STRING": secret,
        "PREFECT_API_AUTH_STRING": secret,
        "POSE2ID_ROOT": str(root),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_UI_API_URL": f"http://{HOST}:{port}/api",
    }


def secret_file(root: Path) -> Path:
    """Where the password of the project's own server is."""
    return root / SERVER_PASSWORD


def own_secret(root: Path) -> str:
    """The password of the project's own server, made at the first start; for the owner's eyes.

    Raises:
        ServeError: The file cannot be written, or others may read it.
    """
    path = secret_file(root)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(f"pose2id:{secrets.token_urlsafe(32)}")
        others = path.stat().st_mode & 0o077
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ServeError(f"the server's password {path} cannot be used: {error}") from error
    if others or ":" not in secret:
        raise ServeError(
            f"the server's password {path} can be read by others, or is none; delete it, a new one "
            "is made"
        )
    return secret


def prefect(arguments: list[str], environment: Mapping[str, str]) -> None:
    """Runs one Prefect command to its end.

    Raises:
        ServeError: It failed; the message ends with what it printed.
    """
    command = [sys.executable, "-m", "prefect", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServeError(f"prefect {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


@contextlib.contextmanager
def process(
    arguments: list[str], environment: Mapping[str, str], log_file: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A Prefect process in a group of its own, stopped with everything it started."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "prefect", *arguments],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        _stop(child)


def wait_for_server(port: int) -> None:
    """Waits until the server answers.

    Raises:
        ServeError: It does not within `START_TIMEOUT_S`.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError),
            urllib.request.urlopen(f"http://{HOST}:{port}/api/health", timeout=5),
        ):
            return
        time.sleep(0.5)
    raise ServeError(
        f"the Prefect server did not answer on port {port} within {START_TIMEOUT_S} s; its log is "
        ".cache/prefect-server.log. Is the port taken? Choose another with --port"
    )


def _stop(child: subprocess.Popen[bytes]) -> None:
    # A worker waits for its runs at the first signal and ends them at the second.
    for stop in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, stop)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(STOP_TIMEOUT_S)
            return


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
