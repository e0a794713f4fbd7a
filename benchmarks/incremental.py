"""What a change costs beside a full run: rows made again and seconds, on rendered pedestrians.

    python -m benchmarks.incremental [--images 60 | --full] [--model models/ipg-small]

`--full` renders 1,000 images. Each line is one `dvc repro` after one change; rows are those that
the stages report as made, not taken from the cache.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.conftest import ROOT, Project, copy_project
from tests.flows.conftest import MODEL, TINY, save_tiny_model

FULL = 1000
MADE = re.compile(r"INFO (generate|features)[\w ]* \d+/\d+: \d+ rows, (\d+) made")
RAN = re.compile(r"Running stage '(?!data/)([\w@]+)'")


def main() -> None:
    """Renders, runs once, then makes one change after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--full", action="store_true", help=f"{FULL} images")
    parser.add_argument("--model", type=Path, help="a generator; default: tiny, random weights")
    options = parser.parse_args()
    n_images = FULL if options.full else options.images
    with tempfile.TemporaryDirectory() as name:
        project = prepare(Path(name), n_images, options.model)
        print(f"{'change':<34}{'stages':>7}{'pictures':>10}{'features':>10}{'seconds':>10}")
        for change, make in changes(project, n_images, options.model is None).items():
            make()
            n_stages, made, seconds = repro(project)
            print(
                f"{change:<34}{n_stages:>7}{made['generate']:>10}{made['features']:>10}"
                f"{seconds:>10.1f}",
                flush=True,
            )


def prepare(folder: Path, n_images: int, model: Path | None) -> Project:
    """A copy of the project with its images rendered in `images/`, out of DVC's hands."""
    project = copy_project(folder / "project")
    if model is None:
        save_tiny_model(project.root / MODEL)
        project.set(**TINY)
    else:
        shutil.copytree(ROOT / model, project.root / model, dirs_exist_ok=True)
        project.set(generate__model=str(model))
    # Per test person: 2 queries and 4 gallery pictures; a fifth of all images is for training.
    identities = max(3, round(0.8 * n_images / 6))
    project.run(
        *("pose2id", "render", "images", "--test-identities", str(identities), "--cameras", "4"),
        *("--train-identities", str(max(2, round(0.2 * n_images / 4))), "--queries", "2"),
        *("--images-per-camera", "1", "--distractors", "0", "--junk", "0"),
    )
    project.set(dataset__root="images")
    return project


def changes(project: Project, n_images: int, tiny: bool) -> dict[str, Callable[[], None]]:
    """The changes in order; each starts from what the one before has left."""
    gallery = project.root / "images" / "bounding_box_test"

    def images() -> list[Path]:
        return sorted(gallery.glob("*.jpg"))

    def add() -> None:
        for number, source in enumerate(images()[: max(1, n_images // 100)]):
            redraw(source, gallery / f"{9000 + number:04d}_c1s1_000001_00.jpg", number)

    def change_image() -> None:
        redraw(images()[0], images()[0], 200)

    return {
        "full run": lambda: None,
        "nothing": lambda: None,
        "+1 % images": add,
        "1 image changed": change_image,
        "1 image removed": lambda: images()[-1].unlink(),
        "eta 8 -> 1": lambda: project.set(centralize__fuse__eta=1.0),
        "k1 2 -> 3": lambda: project.set(centralize__nfc__k1=3),
        "extractor's input changed": lambda: project.set(
            features__input={"height_px": 128, "width_px": 64}
        ),
        "all three changed back": lambda: project.set(
            centralize__fuse__eta=8.0,
            centralize__nfc__k1=2,
            features__input=TINY["features__input"] if tiny else None,
        ),
        "generator's seed changed": lambda: project.set(generate__seed=1),
        "seed changed back": lambda: project.set(generate__seed=12580),
    }


def redraw(source: Path, target: Path, shade: int) -> None:
    """Writes a picture that differs from every other."""
    with Image.open(source) as opened:
        picture = opened.convert("RGB")
    picture.putpixel((0, 0), (shade % 256, 0, 0))
    picture.save(target, quality=95)


def repro(project: Project) -> tuple[int, Counter[str], float]:
    """Stages that ran, rows made per stage, and seconds of one `dvc repro`."""
    started = time.monotonic()
    done = project.run("dvc", "repro")
    seconds = time.monotonic() - started
    made: Counter[str] = Counter()
    for stage, rows in MADE.findall(done.stderr):
        made[stage] += int(rows)
    return len(RAN.findall(done.stdout)), made, seconds


if __name__ == "__main__":
    main()
