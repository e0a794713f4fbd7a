"""Times generation against the plain official procedure: same process, same weights, same noise.

The plain procedure is the published one: every reference is repeated for each pose and for both
halves of guidance, the bank is joined to the keys again at every step, the unconditional half
computes the guided attention too and throws it away, and pictures are decoded one by one. Ours runs
on as many threads: those of one worker or, as the pipeline does, of workers that share them.

    python -m benchmarks.generation_speed            the small model, random weights
    python -m benchmarks.generation_speed --full     the published model's size (needs 14 GB)
    python -m benchmarks.generation_speed --model models/ipg-small
    python -m benchmarks.generation_speed --device cuda --full --compiled --dtypes bfloat16 float16

With `--device cuda` all of it runs on the card, which is named: one worker, memory beside the
speed, and the plain procedure in each precision besides, so that what precision brings is told from
what the rest brings. Without a card it says so and ends with code 77.
"""

from __future__ import annotations

import argparse
import copy
import gc
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pose2id.choices import Device, Precision
from pose2id.devices import resolve_dtype
from pose2id.generation.checkpoints import load_model
from pose2id.generation.config import official_config, small_config
from pose2id.generation.ipg import IpgGenerator
from pose2id.generation.model import IpgModel
from pose2id.generation.pictures import image_batch, skeleton_batch, to_uint8
from pose2id.generation.reference import make_reader
from pose2id.generation.sampler import Sampling, make_scheduler, start_noise
from pose2id.poses.standard import STANDARD_POSES

SKIPPED = 77  # exit code where there is no card


class _PlainAttention:
    """Self-attention over own tokens and bank for all rows, then again for the unconditional."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(
        self,
        attn: Any,  # noqa: ANN401
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        reference: dict[str, Tensor],
    ) -> Tensor:
        both = torch.cat([hidden_states, reference[self.name]], dim=1)  # (2P, 2L, C)
        out = _attend(attn, hidden_states, both)
        half = len(hidden_states) // 2
        out[:half] = _attend(attn, hidden_states[:half], hidden_states[:half])
        return out


def _attend(attn: Any, x: Tensor, context: Tensor) -> Tensor:  # noqa: ANN401
    query, key, value = (
        y.unflatten(2, (attn.heads, -1)).transpose(1, 2)
        for y in (attn.to_q(x), attn.to_k(context), attn.to_v(context))
    )
    mixed = F.scaled_dot_product_attention(query, key, value)
    return attn.to_out[0](mixed.transpose(1, 2).flatten(2))


def _install_plain(model: IpgModel) -> None:
    unet = model.denoising_unet
    make_reader(unet)
    unet.set_attn_processor(
        {
            name: _PlainAttention(name.removesuffix(".attn1.processor"))
            if name.endswith(".attn1.processor")
            else processor
            for name, processor in unet.attn_processors.items()
        }
    )


@torch.inference_mode()
def plain(
    model: IpgModel,
    reference: Image.Image,
    keypoints: NDArray[np.float32],
    seeds: NDArray[np.uint64],
    sampling: Sampling,
) -> NDArray[np.uint8]:
    """The published procedure for one reference: `(P, height, width, 3) uint8`."""
    config, n_poses = model.config, len(keypoints)
    weight = next(model.parameters())

    def put(x: Tensor) -> Tensor:
        return x.to(device=weight.device, dtype=weight.dtype)

    identity = image_batch([reference], config.identity.height_px, config.identity.width_px)
    identity = put(identity).repeat(n_poses, 1, 1, 1)
    both = torch.cat([torch.zeros_like(identity), identity])  # (2P, 3, h, w)
    tokens = model.identity_tokens(model.identity_features(both))
    latent = model.encode(put(image_batch([reference], config.height_px, config.width_px)))
    bank = model.write_banks(latent.repeat(2 * n_poses, 1, 1, 1), tokens)
    pose = model.pose_embedding(put(skeleton_batch(keypoints, config))).repeat(2, 1, 1, 1)
    scheduler = make_scheduler(sampling.solver)
    scheduler.set_timesteps(sampling.steps)
    latents = put(start_noise(seeds, config.latent_shape))
    for t in scheduler.timesteps.to(weight.device):
        v = model.denoising_unet(torch.cat([latents] * 2), t, tokens, bank, pose)
        u, c = v.chunk(2)
        v = u + sampling.guidance_scale * (c - u)
        latents = scheduler.step(v, t, latents).prev_sample
    decoded = torch.cat([model.decode(latents[i : i + 1]) for i in range(n_poses)])
    return to_uint8(decoded.float().cpu(), config.output_height_px, config.output_width_px)


def _random_model(full: bool) -> IpgModel:
    """Random weights whose pose guider, unlike a fresh one, is not silent."""
    torch.manual_seed(0)
    model = IpgModel(official_config() if full else small_config())
    torch.nn.init.normal_(model.guider.conv_out.weight, std=0.05)
    return model.eval().requires_grad_(False)


class _Table:
    """Prints one line per procedure, each against the first."""

    def __init__(self, n_references: int, n_poses: int, repeats: int, on_card: bool) -> None:
        self._n_references, self._n_pictures = n_references, n_references * n_poses
        self._repeats, self._on_card = repeats, on_card
        self._base: tuple[float, NDArray[np.uint8]] | None = None
        memory = ("peak GiB",) if on_card else ()
        columns = ("s/reference", "pictures/s", "ratio", *memory, "mean diff", "max diff")
        print(f"{'procedure':56}" + "".join(f"{column:>12}" for column in columns))

    def add(
        self, label: str, run: Callable[[], NDArray[np.uint8]], *, comparable: bool = True
    ) -> None:
        run()  # warm up: first calls choose kernels, or translate
        gc.collect()
        if self._on_card:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        times = []
        for _ in range(self._repeats):
            start = time.perf_counter()
            pictures = run()
            times.append(time.perf_counter() - start)
        seconds = min(times)
        self._base = self._base or (seconds, pictures)
        difference = np.abs(pictures.astype(int) - self._base[1])
        levels = f"{difference.mean():12.3f}{difference.max():12d}" if comparable else ""
        memory = f"{torch.cuda.max_memory_allocated() / 2**30:12.1f}" if self._on_card else ""
        print(
            f"{label:56}{seconds / self._n_references:12.3f}{self._n_pictures / seconds:12.2f}"
            f"{self._base[0] / seconds:11.2f}x{memory}{levels}",
            flush=True,
        )


def main() -> None:
    """Prints seconds, pictures a second, ratio and difference in grey levels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="the published model's size")
    parser.add_argument("--model", type=Path, help="a saved model instead of random weights")
    parser.add_argument("--references", type=int, default=8)
    parser.add_argument("--poses", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--fast-steps", type=int, default=8, help="steps without guidance")
    parser.add_argument("--guidance-scale", type=float, default=3.5)
    parser.add_argument("--dtypes", nargs="*", default=["float32", "bfloat16"])
    parser.add_argument("--compiled", action="store_true", help="also translated by torch.compile")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    on_card = args.device == "cuda"
    if on_card and not torch.cuda.is_available():
        print("skipped: this machine has no CUDA card, so there is nothing to measure")
        raise SystemExit(SKIPPED)
    torch.set_num_threads(args.threads)

    device: Device = args.device
    model = load_model(args.model).model if args.model else _random_model(args.full)
    model.to(device)
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (args.references, 8, 4, 3), dtype=np.uint8)
    references = [Image.fromarray(c).resize((64, 128)) for c in coarse]
    keypoints = STANDARD_POSES[: args.poses]
    seeds = rng.integers(0, 2**63, (args.references, args.poses)).astype(np.uint64)
    official = Sampling("ddim", args.steps, args.guidance_scale)
    fast = Sampling("dpmpp", args.fast_steps, 1.0)

    def run_plain() -> NDArray[np.uint8]:
        rows = zip(references, seeds, strict=True)
        return np.stack([plain(model, image, keypoints, s, official) for image, s in rows])

    def ours(
        sampling: Sampling, dtype: Precision, compiled: bool, workers: int
    ) -> Callable[[], NDArray[np.uint8]]:
        size = args.batch_size
        kept = dtype == "float32" and not on_card  # a card's layout is another
        weights = (*model.parameters(), *model.buffers()) if kept else ()
        own = copy.deepcopy(model, {id(tensor): tensor for tensor in weights})  # shared, where kept
        generator = IpgGenerator(
            own, "", sampling, batch_size=size, device=device, dtype=dtype, compiled=compiled
        )
        batches = [slice(i, i + size) for i in range(0, args.references, size)]

        def draw(batch: slice) -> NDArray[np.uint8]:
            torch.set_num_threads(max(1, args.threads // workers))  # of this Python thread
            return generator(references[batch], keypoints, seeds[batch])

        def run() -> NDArray[np.uint8]:
            if workers == 1:
                return np.concatenate([draw(batch) for batch in batches])
            with ThreadPoolExecutor(workers) as pool:
                return np.concatenate(list(pool.map(draw, batches)))

        return run

    print(
        f"{args.references} references x {args.poses} poses, batches of {args.batch_size} "
        f"references, {torch.cuda.get_device_name() if on_card else f'{args.threads} thread(s)'}"
    )
    table = _Table(args.references, args.poses, args.repeats, on_card)
    _install_plain(model)
    label = f"plain, ddim {args.steps}, guidance {args.guidance_scale}"
    table.add(label, run_plain)
    if on_card:
        whole = model
        for dtype in args.dtypes:
            model = copy.deepcopy(whole).to(resolve_dtype(dtype))
            table.add(f"{label}, {dtype}", run_plain)
        model = whole
    make_reader(model.denoising_unet)
    for compiled in (False, True) if args.compiled else (False,):
        for dtype in args.dtypes:
            for workers in (1,) if on_card else sorted({1, args.threads}):
                label = f"{dtype}{', compiled' if compiled else ''}, {workers} worker(s)"
                table.add(f"ours, {label}", ours(official, dtype, compiled, workers))
                how = f"ours, {fast.solver} {fast.steps}, no guidance, {label}"
                table.add(how, ours(fast, dtype, compiled, workers), comparable=False)


if __name__ == "__main__":
    main()
