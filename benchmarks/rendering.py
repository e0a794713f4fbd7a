"""Pictures per second of one process: `python -m benchmarks.rendering`."""

from __future__ import annotations

import argparse
import time

from pose2id.renderer import (
    STANDARD_JOINTS,
    Camera,
    Identity,
    render_shot,
    render_studio,
)


def main() -> None:
    """Renders studio pictures and camera shots and prints rates by wall clock and CPU time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=600, help="pictures of each kind")
    n_pictures: int = parser.parse_args().pictures
    identities = [Identity.sample(0, index) for index in range(100)]
    cameras = [Camera.sample(0, index) for index in range(6)]

    def studio(number: int) -> None:
        render_studio(identities[number % 100], STANDARD_JOINTS[number % 8])

    def shot(number: int) -> None:
        render_shot(identities[number % 100], cameras[number % 6], number)

    for name, render in (("studio", studio), ("shot", shot)):
        wall, cpu = time.perf_counter(), time.process_time()
        for number in range(n_pictures):
            render(number)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(
            f"{name:7s} {n_pictures / wall:6.0f} pictures/s by the clock, "
            f"{n_pictures / cpu:6.0f} per second of CPU time"
        )


if __name__ == "__main__":
    main()
