"""Prints versions, and what the processor can do."""

from __future__ import annotations

import typer

app = typer.Typer()

LIBRARIES = ("torch", "dvc", "prefect")


@app.command()
def main() -> None:
    """Prints what to name beside a result: pictures and features differ between processors."""
    import platform
    from importlib.metadata import version

    import torch

    from flows.cli.console import show_table
    from pose2id.machine import n_cores

    rows = [
        ("pose2id", version("pose2id")),
        ("python", platform.python_version()),
        *((name, version(name)) for name in LIBRARIES),
        ("processor", f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"),
        ("cores", str(n_cores())),
        ("gpu", torch.cuda.get_device_name() if torch.cuda.is_available() else "none"),
    ]
    show_table(("what", "version"), rows)
