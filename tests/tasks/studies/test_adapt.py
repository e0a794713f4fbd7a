"""One command adapts a tiny model to a split of rendered people who stand for real ones."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from pose2id.errors import DataError, ParamsError
from pose2id.extractors.base import InputSpec
from pose2id.extractors.preprocess import normalize
from pose2id.generation.checkpoints import load_model, save_model
from pose2id.generation.model import IpgModel
from pose2id.poses.standard import STANDARD_POSES
from pose2id.renderer import Camera, Identity, render_shot
from pose2id.training.adapt_recipe import AdaptRecipe
from pose2id.training.clusters import NOISE, cluster_identities
from pose2id.training.guide import ExtractorGuide
from pose2id.training.recipe import check_recipe
from tasks.studies.adapt import adapt, load_guide, prepare, read_adapt_file
from tasks.studies.training_data import held_out_pool, open_source
from tasks.tables import schema
from tasks.tables.schema import Layout
from tasks.tables.store import write_table
from tests.pose2id.training.test_jobs import tiny_model_config
from tests.tasks.factory import params_of

REPOSITORY = Path(__file__).parents[3]
PEOPLE, SHOTS = 12, 3
LOOP = {"steps": 3, "lr": 1e-3, "checkpoint_every": 1, "sample_every": 100, "warmup_steps": 2}


class StandingPeople:
    """Stands for the pose network: everybody stands in the first standard pose."""

    fingerprint = "standing"

    def __call__(self, pictures: list[Image.Image]) -> np.ndarray:
        return np.repeat(STANDARD_POSES[:1], len(pictures), axis=0)


class Colours:
    """A feature network that is over in a moment: the mean colour of each of 8 x 4 spots."""

    name, dim = "colours", 96
    fingerprint = "colours"
    input_spec = InputSpec(8, 4)

    def __init__(self) -> None:
        self.network = torch.nn.Flatten()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self.network(torch.from_numpy(normalize(images, self.input_spec))).numpy()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = "pose2id.poses.estimators.shipped_estimator"
    monkeypatch.setattr(found, lambda root: StandingPeople())
    monkeypatch.setattr("tasks.studies.adapt.load_extractor", lambda *_: Colours())
    torch.manual_seed(0)
    save_model(IpgModel(tiny_model_config()), tmp_path / "start")
    params = params_of()
    folder = tmp_path / params.dataset.root
    folder.mkdir(parents=True)
    rows = []
    for person in range(PEOPLE):
        for shot in range(SHOTS):
            name = f"{person:04d}_c{shot % 2 + 1}s1_{shot:06d}_00"
            camera = Camera.sample(9200, shot % 2)
            picture = render_shot(Identity.sample(9200, person), camera, shot, 64, 32).image
            Image.fromarray(picture).save(folder / f"{name}.png")
            data = (folder / f"{name}.png").read_bytes()
            rows.append(
                {
                    "image_id": f"query/{name}",
                    "path": f"{name}.png",
                    "split": "query",
                    "pid": person,
                    "camid": shot % 2,
                    "modality": "visible",
                    "clothes_id": None,
                    "distractor": False,
                    "width_px": 32,
                    "height_px": 64,
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "n_bytes": len(data),
                }
            )
    table = pa.Table.from_pylist(rows, schema=schema.INDEX)
    write_table(Layout(tmp_path).index("query"), table, producer="test")
    return tmp_path


def wish(root: Path, **changes: object) -> AdaptRecipe:
    content: dict[str, object] = {
        "seed": 1,
        "start": str(root / "start"),
        "out": str(root / "adapted"),
        "runs": str(root / "runs"),
        "cache": str(root / "cache"),
        "device": "cpu",
        "holdout": 0.3,
        "rendered": {
            **{"source": "rendered", "seed": 3, "identities": 2},
            **{"shots": 2, "standard": 2, "free": 0},
        },
        "identity": {"loop": LOOP, "loss": {"identities": 2, "pictures": 2}},
        "ipg": {
            "loop": LOOP,
            "loss": {
                **{"references": 2, "targets": 1, "identity": 0.1, "identity_candidates": 8},
                **{"untargeted": 2, "photo_pairs": 0.5},
            },
        },
    }
    return check_recipe(AdaptRecipe, content | changes, "test")


def losses(path: Path) -> list[str]:
    with path.open(newline="") as stream:
        return [row["loss"] for row in csv.DictReader(stream)]


def unlabelled(root: Path) -> None:
    path = Layout(root).index("query")
    rows = [row | {"pid": None} for row in pa.parquet.read_table(path).to_pylist()]
    write_table(path, pa.Table.from_pylist(rows, schema=schema.INDEX), producer="test")


def test_a_split_becomes_a_model_with_a_card_and_a_report_on_people_never_seen(
    project: Path,
) -> None:
    folder = adapt(params_of(), wish(project), project, "query")
    before, after = load_model(project / "start").model, load_model(folder).model
    changed = {
        name.split(".")[0]
        for name, tensor in before.state_dict().items()
        if not torch.equal(tensor, after.state_dict()[name])
    }
    assert changed == {"identity", "refiner", "guider", "reference_unet", "denoising_unet"}
    card = (folder / "README.md").read_text()
    assert "Licence of the images: CC0-1.0" in card
    assert "labelled by the dataset" in card
    assert "| identity network | + IPG, eta 1 |" in card
    scores = json.loads((project / "runs/holdout.json").read_text())
    assert set(scores) == {"before", "adapted"}
    assert 0 < scores["adapted"]["identity network"]["base"][0] <= 100


def test_a_killed_adaptation_ends_with_the_weights_of_an_uninterrupted_one(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_model(adapt(params_of(), wish(project), project, "query")).model.state_dict()
    seen = {part: losses(project / f"runs/{part}/loss.csv") for part in ("identity", "ipg")}
    for path in (project / "runs", project / "adapted"):
        path.rename(path.with_name(f"{path.name}-whole"))

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("pose2id.training.ipg.IpgJob.sample_grid", die)  # after the last checkpoint
        with pytest.raises(Killed):
            adapt(params_of(), wish(project), project, "query")
    again = load_model(adapt(params_of(), wish(project), project, "query")).model.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in whole.items())
    assert seen == {part: losses(project / f"runs/{part}/loss.csv") for part in seen}


def test_nobody_held_out_is_trained_on(project: Path) -> None:
    recipe = prepare(params_of(), wish(project), project, "query")
    pool = held_out_pool(recipe)
    assert pool is not None
    trained, held = int(open_source(recipe).table().identity.max()) + 1, set(pool.table.identity)
    assert trained - 2 + len(held) == PEOPLE
    assert len(held) >= 2


def test_without_labels_people_are_clusters_and_the_card_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlabelled(project)

    def features_by_name(extractor: object, sources: list, batch: int) -> tuple:
        spots = np.eye(16, dtype=np.float32)[[i // SHOTS for i in range(len(sources))]]
        noise = np.random.default_rng(0).normal(0, 0.02, spots.shape).astype(np.float32)
        return spots + noise, {}

    monkeypatch.setattr("pose2id.extractors.batching.extract", features_by_name)
    recipe = prepare(params_of(), wish(project), project, "query")
    assert "clustering camera-normalised features" in recipe.about
    rows = pa.parquet.read_table(recipe.data.indexed.index[0]).to_pylist()
    people = {row["pid"] for row in rows}
    true = {row["image_id"].split("/")[1][:4]: row["pid"] for row in rows}
    assert len(people) == len(set(true.values())) == PEOPLE


def test_clusters_look_past_the_camera() -> None:
    rng = np.random.default_rng(2)
    person, camera = np.repeat(np.arange(6), 8), np.tile([0, 1], 24)
    features = rng.normal(size=(6, 32))[person] + 5 * rng.normal(size=(2, 32))[camera]
    features = (features + rng.normal(0, 0.1, features.shape)).astype(np.float32)
    found = cluster_identities(features, camera)
    assert (found != NOISE).mean() > 0.9
    for group in range(found.max() + 1):
        assert len(set(person[found == group])) == 1
    with pytest.raises(DataError, match="look like one person"):
        cluster_identities(features, camera, min_people=40)


def test_only_a_network_with_gradients_can_guide(project: Path) -> None:
    class Exported:
        name = "mine.onnx"

    with pytest.raises(ParamsError, match=r"mine\.onnx.*no gradients"):
        ExtractorGuide(Exported(), torch.device("cpu"))  # type: ignore[arg-type]
    guide = load_guide(params_of(), wish(project, guide="extractor"), project)
    images = torch.rand(2, 3, 64, 32, requires_grad=True)
    guide(images * 2 - 1).sum().backward()
    assert (images.grad.abs().sum(dim=(1, 2, 3)) > 0).all()


def test_the_users_network_guides_in_place_of_the_identity_network(project: Path) -> None:
    one = adapt(params_of(), wish(project), project, "query")
    plain = losses(project / "runs/ipg/loss.csv")
    changes = {"guide": "extractor", "runs": str(project / "guided"), "out": str(project / "g")}
    other = adapt(params_of(), wish(project, **changes), project, "query")
    assert losses(project / "guided/ipg/loss.csv") != plain
    assert one != other


def test_the_shipped_recipe_is_valid_and_wrong_ones_are_explained(project: Path) -> None:
    shipped = read_adapt_file(REPOSITORY / "models/ipg-small/adapt.yaml")
    assert shipped.out == Path("models/adapted")
    with pytest.raises(ParamsError, match=r"minutes.*greater than 0.*-1"):
        wish(project, minutes=-1)
