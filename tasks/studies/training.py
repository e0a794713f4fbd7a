"""Training: recipe and data files in, runs and a finished model folder out."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import nn

from pose2id.devices import resolve_device
from pose2id.errors import ParamsError, WeightsError
from pose2id.generation.checkpoints import load_model, load_part, save_model
from pose2id.generation.config import IdentityConfig
from pose2id.generation.identity_net import IdentityNet
from pose2id.generation.model import IpgModel
from pose2id.generation.state_dicts import digest_of
from pose2id.training.card import write_card
from pose2id.training.guide import Guide
from pose2id.training.identity import IdentityHead, IdentityJob, camera_map
from pose2id.training.ipg import IpgJob, quiet_residuals
from pose2id.training.loop import steps_within, train
from pose2id.training.recipe import Recipe, check_recipe
from pose2id.training.vae import (
    DecoderJob,
    VaeJob,
    latent_spread,
    psnr_db,
    reconstruct,
)
from pose2id.training.vae_start import fresh_vae
from tasks.studies.training_data import held_out_pool, open_pool, rendered_validation
from tasks.tables.yaml_file import read_yaml

logger = logging.getLogger(__name__)

INHERITED = ("seed", "cache", "workers", "device", "data", "model")
"""Keys of a recipe that one which continues it need not repeat."""
FROZEN_PARTS = ("vae", "identity")
DECODER_PARTS = ("decoder.", "post_quant_conv.")


def read_recipe_file(path: Path) -> Recipe:
    """Reads and checks a recipe.

    Args:
        path: A YAML file. Its key `continues`, if there, names the recipe beside it whose result it
            trains on: `seed`, `data`, `model` and the like are taken from there, its own keys win.

    Returns:
        The recipe.

    Raises:
        ParamsError: A file is missing, is not YAML, or a value is not allowed.
    """
    return check_recipe(Recipe, _recipe_content(path), str(path))


def _recipe_content(path: Path, following: tuple[Path, ...] = ()) -> dict[str, Any]:
    content = read_yaml(path, "--config")
    if "continues" not in content:
        return content
    seen = (*following, path.resolve())
    earlier = path.parent / str(content.pop("continues"))
    if earlier.resolve() in seen:
        raise ParamsError(f"{path}: `continues` leads back to {earlier}, which continues it.")
    inherited = _recipe_content(earlier, seen)
    return {key: inherited[key] for key in INHERITED if key in inherited} | content


def train_vae(recipe: Recipe, stop_after: int | None = None) -> None:
    """Trains the autoencoder; writes `vae.safetensors` and `vae.json` into the runs folder.

    Args:
        recipe: The recipe.
        stop_after: Stop once this many steps are done.

    Raises:
        ParamsError: The recipe has no section `vae`.
    """
    section = recipe.vae
    if section is None:
        raise ParamsError("the recipe has no section `vae`; add it to train an autoencoder.")
    torch.manual_seed(recipe.seed)  # the fresh weights
    network = fresh_vae(recipe.model.vae).to(resolve_device(recipe.device))
    pool = open_pool(recipe, section.pictures)
    job = VaeJob(recipe.model.vae, section.loss, pool, section.batch, network)
    train(job, section.loop.config(recipe.seed), recipe.runs / "vae", stop_after)
    network.eval()
    report = {"steps": float(section.loop.steps), "spread": latent_spread(network, pool)}
    report |= _unseen_psnr_db(recipe, network)
    _finish(recipe, "vae", network, report)


def train_decoder(recipe: Recipe, stop_after: int | None = None) -> None:
    """Goes on training the decoder; writes `decoder.safetensors` and `decoder.json`.

    Args:
        recipe: The recipe.
        stop_after: Stop once this many steps are done.

    Raises:
        ParamsError: The recipe has no section `decoder`.
        WeightsError: The autoencoder is not trained yet.
    """
    section = recipe.decoder
    if section is None:
        raise ParamsError("the recipe has no section `decoder`; add it to train the decoder on.")
    _read_report(recipe, "vae")
    vae = fresh_vae(recipe.model.vae)
    vae.load_state_dict(load_file(recipe.runs / "vae.safetensors"))
    vae.to(resolve_device(recipe.device))
    job = DecoderJob(vae, section.loss, open_pool(recipe), section.batch, section.noise)
    train(job, section.loop.config(recipe.seed), recipe.runs / "decoder", stop_after)
    report = {"steps": float(section.loop.steps), **_unseen_psnr_db(recipe, vae.eval())}
    _finish(recipe, "decoder", job.network, report)


def train_identity(
    recipe: Recipe, stop_after: int | None = None, seconds: float | None = None
) -> None:
    """Trains the identity network; writes `identity.safetensors` and `identity.json`.

    Args:
        recipe: The recipe.
        stop_after: Stop once this many steps are done.
        seconds: Do as many of the recipe's steps as fit into this time.

    Raises:
        ParamsError: The recipe has no section `identity`, or starts from a network of other sizes.
    """
    section = recipe.identity
    if section is None:
        raise ParamsError("the recipe has no section `identity`; add it to train that network.")
    pool = open_pool(recipe, section.pictures)
    torch.manual_seed(recipe.seed)
    config, n_people = recipe.model.identity, int(pool.table.identity.max()) + 1
    body = IdentityNet(config)
    if isinstance(section.start, Path):
        body.load_state_dict(_identity_weights(section.start, config))
    network = IdentityHead(body, n_people).to(resolve_device(recipe.device))
    job = IdentityJob(config, section.loss, pool, network)
    folder, loop = recipe.runs / "identity", section.loop.config(recipe.seed)
    if seconds is not None:
        loop = steps_within(job, loop, folder, seconds)
    train(job, loop, folder, stop_after)
    seen = held_out_pool(recipe)
    if seen is None:
        seen = rendered_validation(recipe, shots=4, standard=0)
        cameras = np.arange(len(seen)) % 4  # every shot has its own; compare shots of other numbers
    else:
        cameras = seen.table.camera
    photos = np.flatnonzero(seen.table.is_reference)
    features = job.features(seen)[photos]
    m_ap, rank_1 = camera_map(features, seen.table.identity[photos], cameras[photos])
    report = {"steps": float(loop.steps), "unseen_mAP": m_ap, "unseen_rank_1": rank_1}
    _finish(recipe, "identity", network.body, report)


def _identity_weights(folder: Path, config: IdentityConfig) -> dict[str, torch.Tensor]:
    network, _ = load_part(folder, "identity")
    if network.config != config:
        raise ParamsError(
            f"the identity network in {folder} (identity.start) has other sizes than the recipe's "
            f"section `model.identity`; copy them from {folder / 'config.json'}."
        )
    return network.state_dict()


def train_ipg(
    recipe: Recipe,
    stop_after: int | None = None,
    seconds: float | None = None,
    guide: Guide | None = None,
) -> None:
    """Trains UNets, refiner and guider on top of the frozen parts, and writes the model's folder.

    Args:
        recipe: The recipe.
        stop_after: Stop once this many steps are done; the folder then holds what there is.
        seconds: Do as many of the recipe's steps as fit into this time.
        guide: Judges drawings for the identity loss; None is the identity network.

    Raises:
        WeightsError: The autoencoder or the identity network is not trained yet.
    """
    section, device = recipe.ipg, resolve_device(recipe.device)
    start = section.start
    model = _started_model(recipe, start) if isinstance(start, Path) else _fresh_model(recipe)
    model.to(device)
    model.requires_grad_(True)
    for part in FROZEN_PARTS:
        model.get_submodule(part).requires_grad_(False).eval()
    frozen = digest_of(
        {
            f"{part}.{name}": tensor
            for part in FROZEN_PARTS
            for name, tensor in model.get_submodule(part).state_dict().items()
            if not name.startswith(DECODER_PARTS)  # they decide no loss
        }
    )
    job = IpgJob(model, section.loss, open_pool(recipe), frozen, guide)
    folder, loop = recipe.runs / "ipg", section.loop.config(recipe.seed)
    if seconds is not None:
        loop = steps_within(job, loop, folder, seconds)
    train(job, loop, folder, stop_after)
    if recipe.decoder is not None and (recipe.runs / "decoder.json").is_file():
        decoder = nn.ModuleList([model.vae.post_quant_conv, model.vae.decoder])
        decoder.load_state_dict(load_file(recipe.runs / "decoder.safetensors"))
    save_model(model, recipe.out)
    write_card(recipe)


def _started_model(recipe: Recipe, start: Path) -> IpgModel:
    """A model from a folder of weights, around the recipe's own identity network if it has one."""
    model = load_model(start).model
    vae = recipe.model.vae.model_copy(
        update={"scaling_factor": model.config.vae.scaling_factor}  # measured, not chosen
    )
    if model.config != recipe.model.model_copy(update={"vae": vae}):
        raise ParamsError(
            f"the model in {start} (ipg.start) has other sizes than the recipe's section `model`; "
            f"copy them from {start / 'config.json'}."
        )
    if recipe.identity is not None:
        _load_part(recipe, model, "identity")
    return model


def _load_part(recipe: Recipe, model: IpgModel, part: str) -> None:
    _read_report(recipe, part)
    model.get_submodule(part).load_state_dict(load_file(recipe.runs / f"{part}.safetensors"))


def _fresh_model(recipe: Recipe) -> IpgModel:
    """A model with fresh weights around the trained autoencoder and identity network."""
    spread = _read_report(recipe, "vae")["spread"]
    config = recipe.model.model_copy(
        update={"vae": recipe.model.vae.model_copy(update={"scaling_factor": 1.0 / spread})}
    )
    torch.manual_seed(recipe.seed)
    model = IpgModel(config)
    for unet in (model.reference_unet, model.denoising_unet):
        quiet_residuals(unet)
    for part in FROZEN_PARTS:
        _load_part(recipe, model, part)
    return model


def _read_report(recipe: Recipe, part: str) -> dict[str, float]:
    path = recipe.runs / f"{part}.json"
    if not path.is_file():
        raise WeightsError(f"{path} is missing: train the part first with `pose2id train {part}`.")
    report: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return report


def _finish(recipe: Recipe, part: str, network: nn.Module, report: dict[str, float]) -> None:
    """Writes a frozen part; its report comes last and says that the part is there."""
    logger.info("%s: %s", part, report)
    save_file(network.state_dict(), recipe.runs / f"{part}.safetensors")
    (recipe.runs / f"{part}.json").write_text(json.dumps(report, indent=2) + "\n")


def _unseen_psnr_db(recipe: Recipe, vae: AutoencoderKL) -> dict[str, float]:
    """Reconstruction of unseen people, in the studio and as cameras see them."""
    pool = rendered_validation(recipe, shots=2, standard=2)
    found = {}
    for name, chosen in (("studio", pool.table.is_target), ("camera", pool.table.is_reference)):
        pictures = pool.pictures(np.flatnonzero(chosen))
        found[f"psnr_unseen_{name}_db"] = psnr_db(pictures, reconstruct(vae, pictures))
    return found
