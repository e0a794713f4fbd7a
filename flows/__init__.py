"""Orchestration: the command `pose2id`, the Prefect flows over DVC's graph, what a process owes."""

from pathlib import Path

# `python -m flows.query` and its like are kept for one release: flows/aliases/.
__path__.append(str(Path(__file__).with_name("aliases")))
