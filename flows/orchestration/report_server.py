"""The project's report on loopback, below a path that only its owner knows."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from flows.process.failure import WorkFailedError

HOST = "127.0.0.1"
START_PAGE = "index.html"


class ReportServerError(WorkFailedError):
    """The report cannot be served."""


def secret_path(password: str) -> str:
    """Where the report is: the same at every start, not to be guessed without the password.

    Every user of this machine reaches a port on loopback.

    Example:
        >>> len(secret_path("pose2id:x")), secret_path("pose2id:x") == secret_path("pose2id:y")
        (34, False)
    """
    return f"/{hashlib.sha256(f'report/{password}'.encode()).hexdigest()[:32]}/"


@contextlib.contextmanager
def served(reports: Path, port: int, path: str) -> Iterator[str]:
    """Serves the files of a report until left.

    Args:
        reports: The folder; it may be made, changed or replaced meanwhile.
        port: On loopback; 0 takes any that is free.
        path: From `secret_path`; everything else is not found.

    Yields:
        The address of the overview.

    Raises:
        ReportServerError: The port cannot be used.
    """
    handler = partial(_Handler, directory=str(reports.resolve()), path=path)
    try:
        server = ThreadingHTTPServer((HOST, port), handler)
    except OSError as error:
        raise ReportServerError(
            f"port {port} of {HOST}, for the report, cannot be used ({error.strerror}); choose "
            "others with --port"
        ) from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}{path}{START_PAGE}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    """Files of one folder, to be read; no listings, nothing hidden."""

    server_version, sys_version = "pose2id", ""

    def __init__(self, *arguments: Any, path: str, **options: Any) -> None:  # noqa: ANN401
        self._secret = path
        super().__init__(*arguments, **options)

    def send_head(self) -> Any:  # noqa: ANN401 - whatever the base class hands on
        """The file of an address below the secret path; not found otherwise."""
        inside = self.path.startswith(self._secret)
        self.path = "/" + self.path.removeprefix(self._secret)
        name = Path(self.translate_path(self.path))
        if not inside or not name.is_file() or "/." in self.path:
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def end_headers(self) -> None:
        """Nothing is kept by browsers: the next run replaces the files."""
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Addresses hold the secret path: they are not logged."""
