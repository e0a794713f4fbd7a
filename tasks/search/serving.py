"""A page on loopback: a picture is sent, the gallery's nearest images come back.

Every user of this machine reaches a port on loopback, and so does every page that a browser has
open. So the page lives below a path that only its owner is told; anything else is not found. What
is sent stays in memory: its name is shown and never opened.
"""

from __future__ import annotations

import email.parser
import email.policy
import logging
import secrets
import threading
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from pose2id.errors import DataError, Pose2IdError
from tasks.search.page import as_html
from tasks.search.ranking import Gallery

log = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
MAX_BYTES: Final = 32 * 2**20  # of what is sent
MAX_K: Final = 100
TIMEOUT_S: Final = 30.0  # for a sender who stops sending
HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the form sends: a picture with its name, and the length of the list."""

    name: str
    data: bytes
    k: int


class SearchServer(ThreadingHTTPServer):
    """Answers with ranked lists of one gallery.

    Args:
        gallery: What is searched.
        dataset_root: Where the gallery's files are.
        port: On loopback; 0 takes any that is free.
        k: Length of the list unless the form says another.

    Raises:
        DataError: The port is taken.
    """

    daemon_threads = True

    def __init__(self, gallery: Gallery, dataset_root: Path, port: int, k: int) -> None:
        self.path = f"/{secrets.token_urlsafe(24)}/"
        self.k = k
        self._gallery, self._root = gallery, dataset_root
        self._one_at_a_time = threading.Lock()  # networks are not made for two threads
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise DataError(
                f"port {port} of {HOST} cannot be used ({error.strerror}); name another: --port"
            ) from error

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_address[1]}{self.path}"

    def empty_page(self, message: str = "") -> str:
        """The form alone, with what went wrong, if anything."""
        return as_html([], self._root, form=self.k, message=message)

    def answer(self, asked: Asked) -> str:
        """The form and a ranked list.

        Raises:
            Pose2IdError: The picture is not usable.
        """
        with self._one_at_a_time:
            found = self._gallery.search(asked.name, asked.data, asked.k)
        return as_html([(found, asked.data)], self._root, form=asked.k)


class _Handler(BaseHTTPRequestHandler):
    server: SearchServer
    server_version, sys_version = "pose2id", ""
    timeout = TIMEOUT_S

    def do_GET(self) -> None:
        """The form."""
        if self._is_known():
            self._send(HTTPStatus.OK, self.server.empty_page())

    def do_POST(self) -> None:
        """A ranked list."""
        if not self._is_known():
            return
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "the form was sent without its length")
        elif len(length) > 12 or int(length) > MAX_BYTES:
            limit = f"{MAX_BYTES // 2**20} MiB"
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the picture has more than {limit}")
        else:
            body = self.rfile.read(int(length))
            try:
                asked = read_form(self.headers.get("Content-Type", ""), body, self.server.k)
                page = self.server.answer(asked)
            except Pose2IdError as error:
                self._refuse(HTTPStatus.BAD_REQUEST, str(error))
            else:
                self._send(HTTPStatus.OK, page)

    def log_message(self, format: str, *args: object) -> None:
        """Requests go to the log without their path, which is a secret."""
        log.debug("search page: %s", args[1] if len(args) > 1 else "")

    def _is_known(self) -> bool:
        known = secrets.compare_digest(self.path.encode(), self.server.path.encode())
        if not known:
            self._send(HTTPStatus.NOT_FOUND, "not found")
        return known

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self._send(status, self.server.empty_page(reason))

    def _send(self, status: HTTPStatus, page: str) -> None:
        data = page.encode()
        self.close_connection = True
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def read_form(content_type: str, body: bytes, k: int) -> Asked:
    """Reads what the form sends.

    Args:
        content_type: The request's header, with the boundary between the parts.
        body: The request's body.
        k: Length of the list unless the form says another.

    Returns:
        Picture, name and length of the list.

    Raises:
        DataError: There is no picture in it, or the length is not allowed.
    """
    if not content_type.lower().startswith("multipart/form-data"):
        raise DataError("send a picture by the form")
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode("latin-1", "replace")
    whole = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    name, data = "", b""
    for part in whole.iter_parts() if whole.is_multipart() else ():
        field = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes):
            continue
        if field == "picture":
            name, data = part.get_filename() or "", content
        elif field == "k":
            text = content.decode("ascii", "replace").strip()
            if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MAX_K:
                raise DataError(
                    f"the length of the list is {text[:20]!r}; 1 to {MAX_K} are allowed"
                )
            k = int(text)
    if not data:
        raise DataError("there was no picture; choose a file first")
    return Asked(name[:200] or "picture", data, k)
