"""`make serve`: from the schedule's tick to the result, on a real server and worker."""

from __future__ import annotations

import base64
import http
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from flows.orchestration import report_server
from flows.orchestration.report_server import ReportServerError, secret_path
from flows.orchestration.serve import ServeError, secret_file, serving_environment
from tasks.tables.store import read_table
from tests.conftest import Project

TIMEOUT_S = 600


def test_the_servers_password_is_for_the_owner_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_SERVER_API_AUTH_STRING", raising=False)
    environment = serving_environment(tmp_path, 4200)
    secret = environment["PREFECT_API_AUTH_STRING"]
    assert secret == environment["PREFECT_SERVER_API_AUTH_STRING"]
    assert len(secret) > 40
    assert secret_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert serving_environment(tmp_path, 4200)["PREFECT_API_AUTH_STRING"] == secret
    secret_file(tmp_path).chmod(0o644)
    with pytest.raises(ServeError, match="can be read by others"):
        serving_environment(tmp_path, 4200)


def test_a_password_of_the_users_own_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "me:mine")
    assert serving_environment(tmp_path, 4200)["PREFECT_API_AUTH_STRING"] == "me:mine"
    assert not secret_file(tmp_path).exists()


def test_the_report_is_served_below_its_path_and_nothing_else_is(tmp_path):
    reports, path = tmp_path / "reports", secret_path("pose2id:secret")
    (reports / "pages").mkdir(parents=True)
    (reports / "pages/data.html").write_text("data")
    (reports / ".tmp-x").mkdir()
    (reports / ".tmp-x/half.html").write_text("half")
    (tmp_path / "private.txt").write_text("private")

    def status(target: str) -> int:
        address = urllib.parse.urlsplit(overview)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        connection.request("GET", target)
        return connection.getresponse().status

    with report_server.served(reports, 0, path) as overview:
        assert status(path + "index.html") == 404  # no run has made it yet
        (reports / "index.html").write_text("the report")
        with urllib.request.urlopen(overview, timeout=10) as answer:
            assert answer.read() == b"the report"
        assert status(path + "pages/data.html") == 200
        for target in ("/", "/index.html", path, path + "pages/", path + "../private.txt"):
            assert status(target) == 404, target
        assert status(path + "%2e%2e/private.txt") == 404
        assert status(path + ".tmp-x/half.html") == 404
        taken = int(overview.split(":")[2].split("/")[0])
        with (
            pytest.raises(ReportServerError, match="--port"),
            report_server.served(reports, taken, path),
        ):
            pass


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "http://127.0.0.1:9", "gopher://x:1"])
def test_a_proxy_never_stands_between_this_machine_and_itself(proxy):
    code = """
import urllib.request
from flows.process.environment import prepare
prepare()
assert urllib.request.proxy_bypass("127.0.0.1")
from flows.orchestration.prefect_server import NoServerError, connect
try:
    connect()
except NoServerError as error:
    print(error)
"""
    variables = {"ALL_PROXY": proxy, "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no Prefect server answers" in done.stdout
    assert ("ALL_PROXY may be why" in done.stdout) == (proxy == "gopher://x:1")


class Served:
    """A project under `pose2id serve`, and its server's API."""

    def __init__(self, project: Project, port: int) -> None:
        self.project = project
        self.url = f"http://127.0.0.1:{port}/api"

    @property
    def authorization(self) -> str:
        secret = (self.project.root / ".cache/prefect-password").read_bytes()
        return f"Basic {base64.b64encode(secret).decode()}"

    def post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"{self.url}/{path}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": self.authorization},
        )
        for left in range(9, -1, -1):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code != http.HTTPStatus.SERVICE_UNAVAILABLE or not left:
                    raise
                time.sleep(1)  # its database is busy; Prefect's own client asks again, too
        return None

    def runs(self, *state_types: str) -> list[dict[str, Any]]:
        """Runs of the deployment in these states, oldest first."""
        body = {
            "flow_runs": {"state": {"type": {"any_": list(state_types)}}},
            "flows": {"name": {"any_": ["pose2id"]}},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        found: list[dict[str, Any]] = self.post("flow_runs/filter", body)
        return found

    def wait_for(self, *state_types: str) -> dict[str, Any]:
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                if found := self.runs(*state_types):
                    return found[0]
            except OSError:
                pass  # the server is about to come up
            time.sleep(1)
        pytest.fail(f"no run became {state_types} within {TIMEOUT_S} s")


@pytest.fixture
def served(ran_copy: Project) -> Iterator[Served]:
    path = ran_copy.root / "prefect.yaml"
    definition = yaml.safe_load(path.read_text(encoding="utf-8"))
    nightly = definition["deployments"][0]
    nightly["schedules"] = [{"cron": "* * * * *", "timezone": "UTC"}]
    path.write_text(yaml.safe_dump(definition), encoding="utf-8")
    ran_copy.set(validate__min_pose_difference=0.1, centralize__fuse__eta=1.0)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "pose2id", "serve", "--port", str(port)],
        cwd=ran_copy.root,
        env=ran_copy.environment,
        stdin=subprocess.DEVNULL,
    )
    try:
        yield Served(ran_copy, port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


@pytest.mark.slow
def test_a_scheduled_run_goes_from_tick_to_result_and_a_second_is_refused(served: Served):
    running = served.wait_for("RUNNING", "COMPLETED")
    with pytest.raises(urllib.error.HTTPError, match="401"):  # any other user of this machine
        urllib.request.urlopen(
            urllib.request.Request(f"{served.url}/flow_runs/filter", data=b"{}"), timeout=30
        )
    assert running["auto_scheduled"]
    deployment = running["deployment_id"]
    if running["state_type"] == "RUNNING":
        served.post(f"deployments/{deployment}/create_flow_run", {"state": {"type": "SCHEDULED"}})
        refused = served.wait_for("CANCELLED")
        assert refused["deployment_id"] == deployment
    completed = served.wait_for("COMPLETED")
    assert completed["id"] == running["id"]

    last = read_table(served.project.root / "data" / "runs.parquet").to_pylist()[-1]
    assert (last["trigger"], last["outcome"]) == ("deployment", "completed")
    assert "score" in json.loads(last["stage_seconds_json"])
    artifacts = served.post("artifacts/filter", {})
    assert {"results", "report"} <= {artifact["key"] for artifact in artifacts}
    table = next(artifact["data"] for artifact in artifacts if artifact["key"] == "results")
    assert "| ipg_nfc |" in table
    link = next(artifact["data"] for artifact in artifacts if artifact["key"] == "report")
    address = re.search(r"http://127\.0\.0\.1:\d+/\w+/index\.html", link)
    assert address is not None, link
    with urllib.request.urlopen(address[0], timeout=30) as page:
        assert "Results" in page.read().decode()
    # Several shards of a stage are task runs of a flow run of their own below the stage's task run.
    names = {run["name"] for run in served.post("task_runs/filter", {})}
    assert {"score", "validate@query", "validate query 1/2", "validate query 2/2"} <= names
