"""A message to whoever must know that a run has failed.

Set `POSE2ID_ALERT_COMMAND` to a command: it gets the message as JSON on its standard input, for
example `curl -sS -H 'Content-Type: application/json' -d @- https://hooks.slack.com/services/...`.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow

log = logging.getLogger("flows")

COMMAND = "POSE2ID_ALERT_COMMAND"
TIMEOUT_S = 60


def send_alert(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Gives a failed run to the user's command, if there is one; never fails the run itself.

    Args:
        flow: The flow.
        flow_run: Its run.
        state: How the run ended.
    """
    command = os.environ.get(COMMAND)
    if not command:
        return
    text = f"{flow.name} {flow_run.name}: {state.name}: {state.message}"
    message = {"text": text, "flow_run_id": str(flow_run.id), "state": state.name}
    try:
        subprocess.run(
            shlex.split(command),
            input=json.dumps(message),
            text=True,
            check=True,
            timeout=TIMEOUT_S,
            stdout=subprocess.DEVNULL,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        log.warning("the alert was not sent: %s", error)
