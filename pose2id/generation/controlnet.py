"""A second generator: Stable Diffusion with ControlNet-OpenPose and an IP-Adapter.

diffusers' own pipeline does the work. ControlNet brings the pose, the IP-Adapter brings the look of
the reference picture. It knows people from general pictures and needs no re-identification data,
but nothing in it was trained to keep an identity.

Source: Zhang et al., Adding Conditional Control to Text-to-Image Diffusion Models, ICCV 2023;
Ye et al., IP-Adapter, arXiv 2308.06721.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn

from pose2id.choices import Device
from pose2id.devices import resolve_device
from pose2id.errors import MissingDependencyError, ParamsError, WeightsError
from pose2id.generation.call_checks import check_call
from pose2id.generation.pictures import to_uint8
from pose2id.generation.sampler import start_noise
from pose2id.generation.state_dicts import digest_of
from pose2id.poses.skeleton import draw_skeleton

ADAPTER_FILE = "ip-adapter.safetensors"
PROMPT = "full-body photo of a person, standing, plain background"
_MODULES = ("unet", "controlnet", "vae", "text_encoder", "image_encoder")


class ControlNetGenerator:
    """Re-draws the person of each reference picture in given poses, without training.

    Args:
        pipeline: A `StableDiffusionControlNetPipeline` with an IP-Adapter loaded.
        steps: DDIM steps.
        guidance_scale: Weight of pose, prompt and reference; 1 means none.
        batch_size: Most references of one call; they are drawn one after the other.
        device: Where to compute.

    Attributes:
        name: Short name for tables and messages.
        fingerprint: Hex sha256 of weights, prompt and sampling.
        height_px: Height of the generated pictures, twice their width.
        width_px: Width of the generated pictures.
        batch_size: Most references of one call.
    """

    name = "controlnet"

    def __init__(
        self,
        pipeline: Any,  # noqa: ANN401
        *,
        steps: int = 20,
        guidance_scale: float = 5.0,
        batch_size: int = 1,
        device: Device = "auto",
    ) -> None:
        if steps < 1 or guidance_scale < 1 or batch_size < 1:
            raise ParamsError(
                f"steps, guidance_scale and batch_size are {steps}, {guidance_scale} and "
                f"{batch_size}; each must be 1 or more."
            )
        scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
        pipeline.register_modules(scheduler=scheduler)
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline = pipeline.to(resolve_device(device))
        self._steps = steps
        self._guidance_scale = guidance_scale
        self.batch_size = batch_size
        self.height_px = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
        self.width_px = self.height_px // 2
        self.fingerprint = self._hash()

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        steps: int = 20,
        guidance_scale: float = 5.0,
        batch_size: int = 1,
        device: Device = "auto",
    ) -> ControlNetGenerator:
        """Loads the pipeline from a local folder; nothing is fetched.

        Args:
            folder: What `StableDiffusionControlNetPipeline.save_pretrained` writes (safetensors,
                with `image_encoder` and `feature_extractor`), and `ip-adapter.safetensors`.
            steps: DDIM steps.
            guidance_scale: Weight of pose, prompt and reference; 1 means none.
            batch_size: Most references of one call.
            device: Where to compute.

        Raises:
            MissingDependencyError: transformers is not installed.
            WeightsError: A file is missing or damaged.
        """
        if importlib.util.find_spec("transformers") is None:
            raise MissingDependencyError(
                "the ControlNet generator needs transformers, which is not installed: "
                "pip install 'pose2id[controlnet]'"
            )
        from diffusers import StableDiffusionControlNetPipeline

        for needed in ("model_index.json", ADAPTER_FILE, *_MODULES):
            if not (folder / needed).exists():
                raise WeightsError(
                    f"{folder / needed} is missing. Save a StableDiffusionControlNetPipeline with "
                    f"an image encoder there, and put the IP-Adapter's weights beside it as "
                    f"{ADAPTER_FILE}."
                )
        try:
            pipeline = StableDiffusionControlNetPipeline.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, safety_checker=None
            )
            pipeline.load_ip_adapter(
                str(folder), subfolder="", weight_name=ADAPTER_FILE, local_files_only=True
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise WeightsError(
                f"the pipeline in {folder} cannot be loaded ({error}). Fetch or save it again."
            ) from error
        return cls(
            pipeline,
            steps=steps,
            guidance_scale=guidance_scale,
            batch_size=batch_size,
            device=device,
        )

    @torch.inference_mode()
    def __call__(
        self,
        references: Sequence[Image.Image],
        keypoints: NDArray[np.float32],
        noise_seeds: NDArray[np.uint64],
    ) -> NDArray[np.uint8]:
        """See `Generator`."""
        # 1. What all references share: poses and prompt.
        check_call(references, keypoints, noise_seeds, self.batch_size)
        skeletons = self._skeletons(keypoints)  # (P, 3, height, width)
        guided = self._guidance_scale > 1
        prompts = self._pipeline.encode_prompt(PROMPT, self._pipeline.device, 1, guided)

        # 2. One call for each reference, because the pipeline shares one look among its rows. So
        #    a picture cannot depend on other references either.
        return np.stack(
            [
                self._draw(image.convert("RGB"), skeletons, prompts, seeds)
                for image, seeds in zip(references, noise_seeds, strict=True)
            ]
        )

    def _draw(
        self,
        reference: Image.Image,
        skeletons: Tensor,
        prompts: tuple[Tensor, Tensor | None],
        seeds: NDArray[np.uint64],
    ) -> NDArray[np.uint8]:
        """All poses of one reference: `(P, height_px, width_px, 3) uint8`."""
        pipeline, n_poses = self._pipeline, len(skeletons)
        prompt, negative = prompts  # (1, L, D)
        look = self._look(reference)  # (1, 1, D)
        factor = pipeline.vae_scale_factor
        latent_shape = (
            pipeline.unet.config.in_channels,
            self.height_px // factor,
            self.width_px // factor,
        )
        pictures = pipeline(
            prompt_embeds=prompt.expand(n_poses, -1, -1),
            negative_prompt_embeds=None if negative is None else negative.expand(n_poses, -1, -1),
            image=skeletons,
            ip_adapter_image_embeds=[
                look if negative is None else torch.cat([torch.zeros_like(look), look])
            ],
            latents=start_noise(seeds, latent_shape).to(pipeline.device),
            height=self.height_px,
            width=self.width_px,
            num_inference_steps=self._steps,
            guidance_scale=self._guidance_scale,
            output_type="pt",
        ).images  # (P, 3, height, width) in [0, 1]
        return to_uint8(2 * pictures.float().cpu() - 1, self.height_px, self.width_px)

    def _look(self, image: Image.Image) -> Tensor:
        pipeline = self._pipeline
        pixels = pipeline.feature_extractor([image], return_tensors="pt").pixel_values
        look: Tensor = pipeline.image_encoder(pixels.to(pipeline.device)).image_embeds
        return look[:, None]  # (1, 1, D)

    def _skeletons(self, keypoints: NDArray[np.float32]) -> Tensor:
        drawn = np.stack([draw_skeleton(k, self.height_px, self.width_px) for k in keypoints])
        # Our drawings have red and blue exchanged, as IPG's do; ControlNet learnt OpenPose's own.
        unit = torch.from_numpy(drawn[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255
        return unit.to(self._pipeline.device)

    def _hash(self) -> str:
        modules: dict[str, nn.Module] = {m: getattr(self._pipeline, m) for m in _MODULES}
        content = {
            "digests": {name: digest_of(module.state_dict()) for name, module in modules.items()},
            "scheduler": dict(self._pipeline.scheduler.config),
            "prompt": PROMPT,
            "steps": self._steps,
            "guidance_scale": self._guidance_scale,
        }
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()
