"""The small stages of one run of DVC share what they import.

DVC starts every stage as a process of its own, and half a second of each goes into the same
imports. So the first small stage of a run leaves a process behind that has imported what all of
them need, has compiled the report's templates, and has done nothing else. It copies itself (fork)
for each that follows, and the copy is the stage: with the environment, folder, terminal and signals
of the process that DVC started, which waits for it, hands signals on and ends as it does. The
process ends with DVC's, or when nobody has asked for a while. Nothing is shared but imports and
templates; without it, or where anything is not as it must be, a stage runs in its own process, as
it does on other systems than Linux.

It never imports torch: a process that has must not be copied.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from flows.process.environment import CHECKOUT, leave_pandas_out, prepare
from pose2id.workers import end_with_parent

SMALL_STAGES = ("centralize", "audit", "score", "report")
FIRST = ("flows.cli.main", "flows.cli.stage", "flows.orchestration.shards", "flows.process.repair")
# In the order in which stages need them, while DVC notes what the stage before has done.
THEN = (
    *("tasks.stages.centralize", "pose2id.steps.nfc", "tasks.stages.audit"),
    *("pose2id.label_errors", "scipy.cluster.hierarchy", "tasks.stages.score"),
    *("scipy.sparse", "tasks.stages.report", "duckdb", "tasks.reporting.card"),
    *("tasks.reporting.site", "tasks.reporting.runs", "tasks.reporting.studies"),
)
IDLE_S = 30.0
CODE = ("pose2id", "tasks", "flows")
# What may differ between the stages of a run; anything else may have decided about an import.
OF_A_STAGE = ("_", "DVC_", "OLDPWD", "POSE2ID_PARENT_TASK_RUN_ID", "PREFECT_API_URL", "SHLVL")


class _Request(NamedTuple):
    """The process that DVC has started for a stage, as the stage shall find it."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    umask: int
    group: int


def run_warm(arguments: list[str]) -> int | None:
    """Has a copy of the warm process run a stage, and waits for it.

    Args:
        arguments: Of this process: `stage`, its name and options. In the copy they are replaced by
            those of the process that asked.

    Returns:
        The stage's exit code; `None` where this process is to run the stage, which is so in the
        copy, too.
    """
    if not _is_for_warm(arguments):
        return None
    dvc = _dvc()
    if dvc is None:
        return None
    name = f"\0pose2id/{os.getuid()}/{dvc}"
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(name)
    except OSError:
        server.close()
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(name)
            listener.listen()
        except OSError:
            return None
        if os.fork() == 0:
            arguments[:] = _serve(listener, dvc)
            return None
        listener.close()
        server = socket.socket(socket.AF_UNIX)
        server.connect(name)
    with server:
        return _ask(server, arguments)


def _is_for_warm(arguments: list[str]) -> bool:
    asked = arguments[:1] == ["stage"] and arguments[1:2] and arguments[1] in SMALL_STAGES
    return bool(asked) and "DVC_STAGE" in os.environ and hasattr(os, "pidfd_open")


def _dvc() -> int | None:
    """DVC's process: the nearest ancestor that is a Python as this one is; shells lie between."""
    python, process = Path("/proc/self/exe").readlink(), os.getppid()
    while process > 1:
        try:
            if Path(f"/proc/{process}/exe").readlink() == python:
                return process
            status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        process = int(status.rpartition(")")[2].split()[1])
    return None


def _ask(server: socket.socket, arguments: list[str]) -> int | None:
    """The exit code of the copy that is the stage; `None` if the request was refused."""
    os.umask(umask := os.umask(0o077))
    request = _Request(arguments, dict(os.environ), str(Path.cwd()), umask, os.getpgrp())
    stage = 0
    early: list[int] = []  # signals that came before it was known which process is the stage

    def hand_on(number: int, _: object) -> None:
        if not stage:
            early.append(number)
            return
        with suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(stage, number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if not _is_mine(server):
            return None
        data = json.dumps(request).encode()
        socket.send_fds(server, [struct.pack("!i", len(data))], [0, 1, 2])
        server.sendall(data)
        stage = _number(server)
        end_with_parent()
        if stage:
            for number in early:
                hand_on(number, None)
            return _number(server)
    except OSError:  # the warm process has ended
        if stage:
            return 128 + signal.SIGTERM  # and the stage with it
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in early:  # this process is the stage
        os.kill(os.getpid(), number)
    return None


def _is_mine(connection: socket.socket) -> bool:
    """Whether the other end is a process of the same user."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", found)[1] == os.getuid())


def _number(connection: socket.socket) -> int:
    """The next number from the other end.

    Raises:
        OSError: It is gone.
    """
    received = connection.recv(4, socket.MSG_WAITALL)
    if len(received) < 4:
        raise ConnectionResetError
    return int(struct.unpack("!i", received)[0])


def _serve(listener: socket.socket, dvc: int) -> list[str]:
    """Waits for requests; returns in each copy, with the arguments that it has from then on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the stage by itself
    environment, code = dict(os.environ), _code()
    missing: list[Callable[[], object]]
    missing = [*(partial(import_module, name) for name in THEN), _compile_templates]
    prepare()
    leave_pandas_out()
    for module in FIRST:
        import_module(module)
    try:
        ends = os.pidfd_open(dvc)
    except OSError:
        os._exit(0)
    while True:
        ready = select.select([listener.fileno(), ends], [], [], 0 if missing else IDLE_S)[0]
        if not ready and missing:
            missing.pop(0)()
        elif listener.fileno() in ready:
            connection, _ = listener.accept()
            with connection:
                request, files = _received(connection)
                if request is None or not _fits(request, environment) or _code() != code:
                    stage = 0
                elif (stage := os.fork()) == 0:
                    os.close(ends)
                    listener.close()
                    return _become(request, files)
                for file in files:
                    os.close(file)
                _reply(connection, stage)
                if stage:
                    _reply(connection, _end_of(stage, connection, ends))
            _let_go_of_terminal()
        else:
            os._exit(0)


def _compile_templates() -> None:
    from tasks.reporting.pages import compile_templates

    compile_templates()


def _received(connection: socket.socket) -> tuple[_Request | None, list[int]]:
    """A request and the three streams that come with it; none from another user."""
    if not _is_mine(connection):
        return None, []
    size, files, _, _ = socket.recv_fds(connection, 4, 3)
    data = connection.recv(struct.unpack("!i", size)[0], socket.MSG_WAITALL) if size else b""
    try:
        return _Request(*json.loads(data)), files
    except ValueError:  # the process that asked is gone
        return None, files


def _fits(request: _Request, environment: dict[str, str]) -> bool:
    """Whether a copy is what the process that asked would be."""
    asked, have = (
        {name: value for name, value in one.items() if not name.startswith(OF_A_STAGE)}
        for one in (request.environment, environment)
    )
    return asked == have and request.folder == str(Path.cwd()) and request.group == os.getpgrp()


def _code() -> dict[str, tuple[int, int]]:
    """Time and size of each file of the project's code, which may change while DVC runs."""
    files = (path for name in CODE for path in (CHECKOUT / name).rglob("*.py"))
    return {str(path): ((found := path.stat()).st_mtime_ns, found.st_size) for path in files}


def _become(request: _Request, files: list[int]) -> list[str]:
    """Makes a copy what the process that asked would be; gives its arguments."""
    for stream, file in enumerate(files):
        os.dup2(file, stream)
        os.close(file)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request.environment)
    os.umask(request.umask)
    return request.arguments


def _reply(connection: socket.socket, number: int) -> None:
    with suppress(OSError):  # nobody waits for it any more
        connection.sendall(struct.pack("!i", number))


def _end_of(stage: int, connection: socket.socket, dvc: int) -> int:
    """The exit code of a copy, which ends with the process that asked, and with DVC's."""
    ended = os.pidfd_open(stage)
    watched = {ended, connection.fileno(), dvc}
    while ended not in (ready := select.select(watched, [], [])[0]):
        os.kill(stage, signal.SIGTERM if dvc in ready else signal.SIGKILL)
        watched -= set(ready)
    os.close(ended)
    code = os.waitstatus_to_exitcode(os.waitpid(stage, 0)[1])
    return code if code >= 0 else 128 - code


def _let_go_of_terminal() -> None:
    """Whoever reads what DVC writes shall not wait for this process."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    os.close(nothing)
