"""The search page: a picture is sent, its person comes first; what is not a picture is said."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pose2id.errors import DataError
from tasks.search import serving
from tasks.search.ranking import Gallery
from tasks.search.serving import HOST, SearchServer, read_form
from tasks.tables.schema import Layout
from tests.tasks.factory import write_project
from tests.tasks.search.test_search import (
    SPEC,
    networks,
    query_file,
    stranger,
    write_colour_features,
)

Answer = tuple[int, str, dict[str, str]]


def multipart(data: bytes, name: str = "me.png", k: str = "3") -> tuple[bytes, str]:
    head = (
        f'--edge\r\nContent-Disposition: form-data; name="k"\r\n\r\n{k}\r\n'
        f'--edge\r\nContent-Disposition: form-data; name="picture"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + data + b"\r\n--edge--\r\n", "multipart/form-data; boundary=edge"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchServer, bytes, bytes]:
    root = tmp_path_factory.mktemp("served")
    params = write_project(root, SPEC)
    write_colour_features(root, params)
    gallery = Gallery(Layout(root), params, "ipg_nfc", networks())
    server = SearchServer(gallery, root / params.dataset.root, 0, 5)
    return server, query_file(root, params).read_bytes(), stranger(root, params)


@pytest.fixture(scope="module")
def server(project: tuple[SearchServer, bytes, bytes]) -> Iterator[SearchServer]:
    with project[0] as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(server: SearchServer, method: str, path: str | None = None, *parts: object) -> Answer:
    connection = http.client.HTTPConnection(HOST, server.server_address[1], timeout=60)
    body, headers = parts or (None, {})
    connection.request(method, path or server.path, body, headers)  # type: ignore[arg-type]
    got = connection.getresponse()
    return got.status, got.read().decode(), dict(got.getheaders())


def send(server: SearchServer, data: bytes, **how: str) -> Answer:
    body, kind = multipart(data, **how)
    return ask(server, "POST", None, body, {"Content-Type": kind})


def test_the_form_comes_with_a_policy_that_lets_nothing_in(server: SearchServer) -> None:
    status, html, headers = ask(server, "GET")
    assert status == 200
    assert 'type="file"' in html
    assert "<script" not in html
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert headers["Cache-Control"] == "no-store"
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("which", [1, 2], ids=["indexed", "new"])
def test_a_picture_finds_its_person_first(
    server: SearchServer, project: tuple[SearchServer, bytes, bytes], which: int
) -> None:
    status, html, _ = send(server, project[which])
    assert status == 200
    hits = re.findall(r"<span class=\"sign\">.*?</figure>", html, re.DOTALL)
    assert len(hits) == 3
    assert "person 3" in hits[0]


def test_a_name_is_shown_and_never_a_path_or_html(
    server: SearchServer, project: tuple[SearchServer, bytes, bytes], tmp_path: Path
) -> None:
    name = f"../../{tmp_path}/<img src=x onerror=alert(1)>.png"
    status, html, _ = send(server, project[1], name=name)
    assert status == 200
    assert "&lt;img src=x" in html
    assert "<img src=x" not in html
    assert list(tmp_path.iterdir()) == []


def test_who_does_not_know_the_path_finds_nothing(
    server: SearchServer, project: tuple[SearchServer, bytes, bytes]
) -> None:
    body, kind = multipart(project[1])
    for path in ("/", "/search", server.path + "x", "/../" + server.path):
        assert ask(server, "GET", path)[0] == 404
        assert ask(server, "POST", path, body, {"Content-Type": kind})[0] == 404


def test_what_cannot_be_searched_for_is_said(
    server: SearchServer,
    project: tuple[SearchServer, bytes, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status, html, _ = send(server, b"no picture")
    assert (status, 'role="alert"' in html) == (400, True)
    assert send(server, b"")[0] == 400
    assert "1 to 100 are allowed" in send(server, project[1], k="101")[1]
    assert ask(server, "POST", None, b"k=1", {"Content-Type": "text/plain"})[0] == 400
    monkeypatch.setattr(serving, "MAX_BYTES", 100)
    assert send(server, project[1])[0] == 413


def test_a_taken_port_is_named(server: SearchServer) -> None:
    gallery, port = server._gallery, server.server_address[1]
    with pytest.raises(DataError, match=f"port {port} .* --port"):
        SearchServer(gallery, Path(), port, 5)


def test_a_form_is_read_with_any_bytes_in_the_picture() -> None:
    data = bytes(range(256)) * 3 + b"\r\n--edg\r\n\n\r"
    body, kind = multipart(data, k="7")
    found = read_form(kind, body, 10)
    assert (found.name, found.data, found.k) == ("me.png", data, 7)
