"""The environment of this process and of all that it starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.abc import MetaPathFinder
from pathlib import Path

from pose2id.speed import THREADS_THAT_SLEEP

REPORT_URL = "POSE2ID_REPORT_URL"  # where `pose2id serve` has the report, for runs to link to
SERVER_PASSWORD = Path(".cache", "prefect-password")  # below a project's root
CHECKOUT = Path(__file__).resolve().parents[2]

ALWAYS = {  # no telemetry
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
}
UNLESS_SET = {
    "DASK_LOGGING__DISTRIBUTED": "warning",  # else a dozen lines per worker about its connections
    "HF_HUB_OFFLINE": "1",
    # What stages log is shown on a run's page; outside of a run it stays in the terminal.
    "PREFECT_LOGGING_EXTRA_LOGGERS": "flows,tasks",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    **THREADS_THAT_SLEEP,
}


def prepare() -> None:
    """Sets what Prefect, DVC, Great Expectations, Ray and torch read when they are imported.

    No telemetry, no model hub, Prefect's files inside the project in the current folder. What
    dvc.yaml calls is of the Python that runs now, whether or not its virtual environment is
    activated, and of this checkout. Nothing is written but what Python compiles.
    """
    keep_compiled()
    os.environ.update(ALWAYS)
    for name, value in UNLESS_SET.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_HOME", str(Path(".cache", "prefect").resolve()))
    _skip_proxies()
    _know_own_server()
    _put_first("PATH", str(Path(sys.executable).parent), os.defpath)
    _put_first("PYTHONPATH", str(CHECKOUT), "")


def keep_compiled() -> None:
    """Has this process and all that it starts keep what they compile, as Python does by itself.

    Containers often set PYTHONDONTWRITEBYTECODE, and `make` installs packages uncompiled: torch,
    DVC and Prefect would be compiled anew by each of a run's processes. Measured: 18.9 s instead of
    28.3 s of processor time for `dvc repro` after a changed eta (docs/measured.md).
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def leave_pandas_out() -> None:
    """Has pyarrow do without pandas, which it else imports when it is first handed a value.

    What needs pandas (`Table.to_pandas`, a module's own import) still gets it. Measured: 0.2 s of
    each process.
    """
    import pyarrow as pa

    class NoPandas(MetaPathFinder):
        def find_spec(self, name: str, *_: object) -> None:
            if name == "pandas":
                raise ImportError(name)

    if "pandas" not in sys.modules:
        sys.meta_path.insert(0, finder := NoPandas())
        pa.array([0])  # looks for it, once
        sys.meta_path.remove(finder)


def _skip_proxies() -> None:
    """What listens on this machine is never asked through a proxy."""
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    direct = [name for name in given.split(",") if name]
    direct += [name for name in ("127.0.0.1", "localhost", "::1") if name not in direct]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(direct)


def _know_own_server() -> None:
    """A run that reports to the project's own server (`pose2id serve`) knows its password."""
    if os.environ.get("PREFECT_API_URL", "").startswith("http://127.0.0.1:"):
        with suppress(OSError, UnicodeDecodeError):
            password = SERVER_PASSWORD.read_text(encoding="ascii").strip()
            os.environ.setdefault("PREFECT_API_AUTH_STRING", password)


def make_prefect_home() -> None:
    """Makes the folder of Prefect's files, closed to others; call it before importing Prefect."""
    Path(os.environ["PREFECT_HOME"]).mkdir(mode=0o700, parents=True, exist_ok=True)


def _put_first(name: str, folder: str, default: str) -> None:
    """Makes a folder the first one of a search path."""
    folders = os.environ.get(name, default).split(os.pathsep)
    if folders[0] != folder:
        os.environ[name] = os.pathsep.join(filter(None, [folder, *folders]))


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Sets variables within the block and puts back what was there.

    Args:
        values: Name -> value.
    """
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
