"""Mutations of everything that a person hands in: `python -m benchmarks.fuzz 10000 [KIND ...]`.

Each is something valid with one mutation (`tests/fuzz/readers.py`), read as the product reads it.
Prints per kind how many were read, how many refused in words, and how many ended in anything else,
with the first of each kind of fault; exit code 1 if there was one.
"""

from __future__ import annotations

import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

from pose2id.errors import Pose2IdError
from tests.fuzz.readers import KINDS


def fuzz(kind: str, n_mutations: int) -> Counter[str]:
    """What became of the mutations of one kind."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        mutations, read = KINDS[kind](Path(folder))

        @settings(
            max_examples=n_mutations,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(mutations)
        def once(mutated: object) -> None:
            try:
                read(mutated)
            except Pose2IdError:
                found["refused"] += 1
            except Exception as error:  # noqa: BLE001 - what is looked for
                place = traceback.extract_tb(error.__traceback__)[-1]
                found[f"{type(error).__name__} in {place.filename}:{place.lineno}: {error}"] += 1
            else:
                found["read"] += 1

        once()
    return found


def main() -> None:
    """Runs the kinds that are named, or all."""
    warnings.simplefilter("ignore")
    n_mutations = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    n_faults = 0
    for kind in sys.argv[2:] or KINDS:
        started = time.monotonic()
        found = fuzz(kind, n_mutations)
        faults = {name: n for name, n in found.items() if name not in ("read", "refused")}
        n_faults += sum(faults.values())
        sys.stdout.write(
            f"{kind:32} {found['read']:6} read {found['refused']:6} refused "
            f"{sum(faults.values()):4} other {time.monotonic() - started:7.1f} s\n"
        )
        for name, n in faults.items():
            sys.stdout.write(f"    {n} x {name[:300]}\n")
        sys.stdout.flush()
    sys.exit(1 if n_faults else 0)


if __name__ == "__main__":
    main()
