"""Several machines within one: network namespaces joined by a bridge, for what needs a cluster.

A process in a namespace sees no address but those of its own network; the files are shared, as by
a network file system. This needs Linux, iproute2 and the right to make networks (root).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import IO

import pytest


class Machine:
    """One of them.

    Attributes:
        address: Its address, which the others reach.
    """

    def __init__(self, namespace: str, address: str) -> None:
        self._namespace, self.address = namespace, address
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Starts a process there; what it says goes to a file."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self._namespace, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        self._processes.append(process)
        return process

    def kill(self) -> None:
        """Kills every process of the machine at once, as a cut of its power would."""
        for pid in _output("ip", "netns", "pids", self._namespace).split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        for process in self._processes:
            process.wait()

    def unplug(self) -> None:
        """Takes its cable away: from then on the others hear nothing, not even a goodbye."""
        _output("ip", "-n", self._namespace, "link", "set", "eth0", "down")


@contextmanager
def machines(n: int) -> Iterator[list[Machine]]:
    """Makes machines, which see this one and each other, and takes them away with all they run.

    Args:
        n: How many.
    """
    name = f"p{os.getpid() % 100_000}"
    network = f"10.{os.getpid() // 256 % 256}.{os.getpid() % 256}"
    with ExitStack() as stack:
        _output("ip", "link", "add", name, "type", "bridge")
        stack.callback(_output, "ip", "link", "del", name)
        _output("ip", "address", "add", f"{network}.1/24", "dev", name)
        _output("ip", "link", "set", name, "up")
        made = []
        for number in range(2, n + 2):
            namespace = f"{name}n{number}"
            _output("ip", "netns", "add", namespace)
            stack.callback(_output, "ip", "netns", "del", namespace)
            machine = Machine(namespace, f"{network}.{number}")
            stack.callback(machine.kill)
            cable = ("type", "veth", "peer", "name", "eth0", "netns", namespace)
            _output("ip", "link", "add", namespace, *cable)
            stack.callback(_output, "ip", "link", "del", namespace)
            _output("ip", "link", "set", namespace, "master", name, "up")
            _output("ip", "-n", namespace, "address", "add", f"{machine.address}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                _output("ip", "-n", namespace, "link", "set", device, "up")
            made.append(machine)
        yield made


def needs_machines() -> None:
    """Skips a test where no networks can be made."""
    if shutil.which("ip") is None:
        pytest.skip("needs network namespaces: Linux with iproute2")
    try:
        with machines(1):
            pass
    except subprocess.CalledProcessError as error:
        if not any(reason in error.stderr for reason in ("not permitted", "not supported")):
            raise
        pytest.skip(f"needs the right to make network namespaces: {error.stderr.strip()}")


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
