"""Orchestration: the command that dvc.yaml calls, the Prefect flows and the user's commands.

Importing it prepares the environment of this process and of all that it starts, because Prefect,
DVC, Great Expectations, Ray and torch read theirs when imported: no telemetry, no model hub,
Prefect's files inside the project, and `python` in dvc.yaml is the Python that runs now, whether or
not its virtual environment is activated.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

os.environ.update(
    DO_NOT_TRACK="1",
    DVC_NO_ANALYTICS="1",
    GX_ANALYTICS_ENABLED="false",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    RAY_USAGE_STATS_ENABLED="0",
)
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Idle threads of torch sleep instead of spinning: small networks on busy cores ran 2 to 5 times as
# fast (docs/measured.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# What stages log is shown on a run's page; outside of a run it stays in the terminal.
os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "flows,tasks")
os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
os.environ.setdefault("PREFECT_HOME", str(Path(".cache", "prefect").resolve()))
with suppress(OSError):  # who writes below it says why that is impossible
    Path(os.environ["PREFECT_HOME"]).mkdir(mode=0o700, parents=True, exist_ok=True)
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")

# A run that reports to the project's own server (`serve`) knows its password.
if os.environ.get("PREFECT_API_URL", "").startswith("http://127.0.0.1:"):
    with suppress(OSError):
        _password = Path(".cache", "prefect-password").read_text(encoding="ascii").strip()
        os.environ.setdefault("PREFECT_API_AUTH_STRING", _password)
# What listens on this machine is never asked through a proxy.
_given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
_direct = [name for name in _given.split(",") if name]
_direct += [name for name in ("127.0.0.1", "localhost", "::1") if name not in _direct]
os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(_direct)

_binaries = str(Path(sys.executable).parent)
_search_path = os.environ.get("PATH", os.defpath)
if _search_path.split(os.pathsep)[0] != _binaries:
    os.environ["PATH"] = os.pathsep.join([_binaries, _search_path])

# `python -m flows.query` and its like are kept for one release: flows/aliases/.
__path__.append(str(Path(__file__).with_name("aliases")))
