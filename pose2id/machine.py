"""What this process may use of its machine, and what of the machine shows in what it computes."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version


def n_cores() -> int:
    """Number of processor cores that this process may run on, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def n_threads() -> int:
    """Number of threads that a computation may take: what torch was told, where it is in use."""
    if "torch" in sys.modules:
        return int(sys.modules["torch"].get_num_threads())
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() and int(told) else n_cores()


def compute_on_one_thread() -> None:
    """Has the networks of the calling thread compute on that thread alone.

    How many threads share a convolution or a product decides how it is cut, and with it the last
    bits: pictures by one grey level, features by up to 0.01. Several networks at a time, one
    thread each, are also faster than one network on all cores.
    """
    import torch

    # Applies to this thread and to those that are started later; a stage's shards call it each.
    torch.set_num_threads(1)


def machine_kind(device: str, library: str) -> str:
    """What decides the last bits of a network's output besides the network and its input.

    Args:
        device: Type of torch's device: `cpu`, `cuda` or `mps`.
        library: The package that computes.

    Returns:
        Device, instruction set or GPU, and version of the library, such as
        `cpu AVX512 GenuineIntel torch 2.13.0`. Two machines of one kind give the same bytes.

    Example:
        >>> machine_kind("cpu", "torch").split()[0]
        'cpu'
    """
    import torch

    if device == "cuda":
        unit = torch.cuda.get_device_name()
    elif device == "mps":
        unit = "Apple"
    else:
        unit = " ".join([torch.backends.cpu.get_cpu_capability(), _processor()])
    try:
        release = version(library)
    except PackageNotFoundError:
        release = "unknown"
    return f"{device} {unit} {library} {release}"


def _processor() -> str:
    """Maker and model of the processor, and limits on the instructions that libraries use."""
    limits = [
        f"{name}={os.environ[name]}"
        for name in ("DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")
        if name in os.environ
    ]
    wanted = ("vendor_id", "cpu family", "model")
    facts: dict[str, str] = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - not of the project
            for line in file:
                name, _, value = line.partition(":")
                if not line.strip():
                    break
                facts[name.strip()] = value.strip()
    except OSError:
        import platform

        return " ".join([platform.machine(), *limits])
    return " ".join([*(facts[name] for name in wanted if name in facts), *limits])
