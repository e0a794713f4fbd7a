"""Feature networks through the doctor and the whole pipeline, on a dataset of real people.

    python -m benchmarks.networks --data ../shared/data/cuhk03-100 --networks ../shared/models/reid

Each network gets a copy of the project whose `params.yaml` names it, without drawings: `pose2id
doctor`, then `dvc repro`, then the table of results as SQL finds it. The `torch` row is the default
network again, given as a user gives a module of her own: a file of code and a state dict.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.conftest import Project, copy_project

INTEL = {"height_px": 256, "width_px": 128, "channel_order": "bgr", "max_value": 255.0}
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
EXPORTED = {
    "0277": ("openvino", "0277/FP16", INTEL),
    "0286": ("openvino", "0286/FP16", INTEL),
    "0287 INT8": ("openvino", "0287-int8", INTEL),
    "0288": ("openvino", "0288/FP16", INTEL),
    "OSNet x0.25": ("onnx", "osnet-x0.25", {"height_px": 256, "width_px": 128, **IMAGENET}),
}
OWN = "models/own"
OWN_OPTIONS = {"module": "network.py:EfficientNetLite0"}
AT_255 = {"max_value": 255.0, "mean": [127.0] * 3, "std": [128.0] * 3}
MODULE = """
from pose2id.extractors.efficientnet import EfficientNetLite0
"""
VARIANTS = {
    "base": [],
    "nfc": ["nfc"],
    "camera": ["camera_normalize"],
    "camera_nfc": ["camera_normalize", "nfc"],
    "camera_nfc_rerank": ["camera_normalize", "nfc", "rerank"],
}


def main() -> None:
    """Prints a table, mAP / Rank-1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="layout of Market-1501")
    parser.add_argument("--networks", type=Path, required=True, help="folder with all five")
    options = parser.parse_args()
    print(f"{'network':<16}{'doctor':<12}" + "".join(f"{name:>20}" for name in VARIANTS))
    networks: dict[str, tuple[str, str, dict[str, Any] | None]] = {
        name: (extractor, str((options.networks / path).resolve()), wants)
        for name, (extractor, path, wants) in EXPORTED.items()
    }
    networks["torch module"] = ("torch", OWN, {"height_px": 160, "width_px": 80, **AT_255})
    with tempfile.TemporaryDirectory() as folder:
        project = copy_project(Path(folder))
        write_module(project.root / OWN)
        project.set(
            splits=["query", "gallery"],
            dataset__name="people",
            dataset__root=str(options.data.resolve()),
            dataset__status="academic",
            dataset__distractor_pids=[],
            generate__generator="none",
            centralize__nfc__k1=2,
            centralize__nfc__k2=2,
            centralize__camera_normalize__use="always",
            variants=VARIANTS,
        )
        for name, (extractor, model, wants) in networks.items():
            project.set(
                features__extractor=extractor,
                features__model=model,
                features__input=wants,
                features__options={"module": "network.py:EfficientNetLite0"}
                if model == OWN
                else {},
            )
            print(f"{name:<16}{verdict(project):<12}{scores(project)}", flush=True)


def write_module(folder: Path) -> None:
    """The default network as somebody's own code and weights."""
    import torch

    from pose2id.extractors.efficientnet import load_network, shipped_weights

    folder.mkdir(parents=True)
    (folder / "network.py").write_text(MODULE, encoding="utf-8")
    torch.save(load_network(shipped_weights()).state_dict(), folder / "weights.pth")


def verdict(project: Project) -> str:
    """How the doctor's look at the network ends."""
    done = project.run("pose2id", "doctor", check=False)
    return "usable" if done.returncode == 0 else f"exit {done.returncode}"


def scores(project: Project) -> str:
    """The mAP / Rank-1 of every variant after the whole pipeline."""
    project.run("dvc", "repro")
    query = "SELECT variant, mAP, rank_1 FROM summary"
    rows = json.loads(project.run("pose2id", "query", query, "--json").stdout)
    found = {row["variant"]: f"{100 * row['mAP']:.1f} / {100 * row['rank_1']:.1f}" for row in rows}
    return "".join(f"{found[name]:>20}" for name in VARIANTS)


if __name__ == "__main__":
    main()
