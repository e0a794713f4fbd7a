"""The model card: what the weights are, what they were trained on, how well they do."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from pose2id.training.recipe import IndexedData, MixedData, Recipe, RenderedData

EVALUATION_MARK = "<!-- evaluation -->"
"""What stands below this line comes from `python -m benchmarks.generation_quality`."""


def mean_loss(path: Path, rows: int = 500) -> tuple[int, float]:
    """Reads the end of a loss log.

    Args:
        path: `loss.csv` of a run.
        rows: How many of the last steps to average.

    Returns:
        Steps done, and the mean loss of the last ones.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        losses = [float(row["loss"]) for row in csv.DictReader(stream)]
    last = losses[-rows:]
    return len(losses), sum(last) / len(last)


def _data_text(recipe: Recipe) -> str:
    data = recipe.data
    if isinstance(data, RenderedData):
        return _rendered_text(data)
    if isinstance(data, MixedData):
        return f"{_indexed_text(data.indexed)}\n\nBeside them {_rendered_text(data.rendered)}"
    return _indexed_text(data)


def _rendered_text(data: RenderedData) -> str:
    looks = {
        "plain": "",
        "street": " They are dressed, and seen by cameras, as in a street.",
        "both": " Every other one is dressed, and seen by cameras, as in a street.",
    }
    return (
        f"{data.identities} rendered people of seed {data.seed} (no real person): per person "
        f"{data.shots} camera pictures, each by another camera, and {data.standard} studio "
        f"pictures in standard poses and {data.free} in a random walking pose. References are "
        f"camera pictures, targets are studio pictures.{looks[data.look]}"
    )


def _indexed_text(data: IndexedData) -> str:
    targets = {
        "keep": "another camera's picture as it is",
        "studio": "another camera's picture, the person cut out by key points",
    }
    return (
        f"Images of {', '.join(map(str, data.index))}, paired across cameras; the target is "
        f"{targets[data.background]}. About {100 * data.holdout:.0f} % of the people are left out "
        "for the report."
    )


def _earlier_training(recipe: Recipe) -> str:
    """What the card of the weights that training started from says of their own training."""
    start = recipe.ipg.start
    card = start / "README.md" if isinstance(start, Path) else None
    if card is None or not card.is_file():
        return ""
    text = card.read_text(encoding="utf-8").partition("## Training\n")[2].partition("\n## ")[0]
    return f"\nBefore that, the weights it started from:\n\n{text.strip()}\n"


def write_card(recipe: Recipe) -> None:
    """Writes `README.md` into the model's folder; the evaluation of an old card is kept.

    Args:
        recipe: The recipe that was trained.
    """
    path = recipe.out / "README.md"
    old = path.read_text(encoding="utf-8") if path.is_file() else ""
    evaluation = old.partition(EVALUATION_MARK)[2].strip() or "Not evaluated yet."
    lines = []
    sections = ("vae", "decoder", "identity", "ipg")
    parts = "|".join(part for part in sections if getattr(recipe, part) is not None)
    for part in sections:
        log = recipe.runs / part / "loss.csv"
        if log.is_file():
            steps, loss = mean_loss(log)
            lines.append(f"| {part} | {steps} | {loss:.4f} | {_report_text(recipe, part)} |")
    earlier = _earlier_training(recipe)
    size = sum(file.stat().st_size for file in recipe.out.glob("*.safetensors"))
    height, width = recipe.model.output_height_px, recipe.model.output_width_px
    text = f"""# {recipe.out.name}

Identity-guided pedestrian generation (Pose2ID, CVPR 2025): draws the person of a picture in given
poses, {height}x{width} pixels. {size / 1e6:.1f} MB in fp16 safetensors, all parts together.

## Data
{_data_text(recipe)}
{recipe.about}

## Training
Seed {recipe.seed}. `pose2id train {parts}`, one after the other, by the recipe whose
`runs` is `{recipe.runs}`.

| part | steps | loss (mean of the last 500 steps) | on people never trained on |
|---|---|---|---|
{chr(10).join(lines)}
{earlier}
## Evaluation
{EVALUATION_MARK}
{evaluation}
"""
    path.write_text(text, encoding="utf-8")


def _report_text(recipe: Recipe, part: str) -> str:
    path = recipe.runs / f"{part}.json"
    if not path.is_file():
        return "see below"
    report = json.loads(path.read_text(encoding="utf-8"))
    return ", ".join(f"{key} {value:.4g}" for key, value in report.items() if key != "steps")
