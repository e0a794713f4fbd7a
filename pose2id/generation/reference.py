"""Reference attention: the denoiser looks at the reference picture inside its self-attention.

The reference UNet runs once per picture. Each of its transformer blocks leaves the input of its
self-attention in a bank. The block of the same name in the denoiser then attends to its own tokens
followed by that bank. The bank's keys and values depend neither on the step nor on the pose, so
they are computed once (`project_banks`) and read by every denoiser pass.

Everything travels through arguments, nothing is stored in a module: gradients, gradient
checkpointing and several threads work as with any other network.

Source: Hu et al., Animate Anyone, CVPR 2024, section 3.2.1 (reference-only attention).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import Tensor

_SELF_ATTENTION = ".attn1.processor"


@dataclass(frozen=True)
class ReferenceBanks:
    """Keys and values of R reference pictures for every transformer block of the denoiser.

    Attributes:
        keys: Block name -> `(R, L, C)`.
        values: Block name -> `(R, L, C)`.
    """

    keys: Mapping[str, Tensor]
    values: Mapping[str, Tensor]


@dataclass(frozen=True)
class ReferenceRead:
    """Which rows of a denoiser batch read which reference.

    Attributes:
        banks: Keys and values of R references.
        index: `(N - n_plain,) int64`, the reference of each row from `n_plain` on.
        n_plain: The first rows, which attend to themselves only.
    """

    banks: ReferenceBanks
    index: Tensor
    n_plain: int = 0


def _attend(attn: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:  # noqa: ANN401
    """Multi-head attention of `(N, L, C)` over `(N, S, C)`, before the output projection."""
    q, k, v = (x.view(*x.shape[:2], attn.heads, -1).transpose(1, 2) for x in (query, key, value))
    mixed = F.scaled_dot_product_attention(q, k, v)  # (N, heads, L, head_dim)
    return mixed.transpose(1, 2).flatten(2)


def _project_out(attn: Any, x: Tensor) -> Tensor:  # noqa: ANN401
    out: Tensor = attn.to_out[1](attn.to_out[0](x))
    return out


class _WritingSelfAttention:
    """Self-attention that leaves its input in the bank given as `reference`."""

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
        reference[self.name] = hidden_states
        qkv = (project(hidden_states) for project in (attn.to_q, attn.to_k, attn.to_v))
        return _project_out(attn, _attend(attn, *qkv))


class _ReadingSelfAttention:
    """Self-attention whose rows from `reference.n_plain` on also attend to their reference."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(
        self,
        attn: Any,  # noqa: ANN401
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        reference: ReferenceRead | None = None,
    ) -> Tensor:
        query, key, value = (
            project(hidden_states) for project in (attn.to_q, attn.to_k, attn.to_v)
        )  # each (N, L, C)
        n_plain = len(query) if reference is None else reference.n_plain
        parts = []
        if n_plain > 0:
            parts.append(_attend(attn, query[:n_plain], key[:n_plain], value[:n_plain]))
        if reference is not None and n_plain < len(query):
            bank_key = reference.banks.keys[self.name][reference.index]
            bank_value = reference.banks.values[self.name][reference.index]
            keys = torch.cat([key[n_plain:], bank_key], dim=1)  # (N - n_plain, 2L, C)
            values = torch.cat([value[n_plain:], bank_value], dim=1)
            parts.append(_attend(attn, query[n_plain:], keys, values))
        return _project_out(attn, parts[0] if len(parts) == 1 else torch.cat(parts))


class _TokenAttention:
    """Cross-attention to the identity tokens; it has no use for the reference."""

    def __call__(
        self,
        attn: Any,  # noqa: ANN401
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        *,
        reference: object = None,
    ) -> Tensor:
        query = attn.to_q(hidden_states)
        key, value = attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states)
        return _project_out(attn, _attend(attn, query, key, value))


def _install(unet: UNet2DConditionModel, self_attention: type) -> None:
    unet.set_attn_processor(
        {
            name: self_attention(name.removesuffix(_SELF_ATTENTION))
            if name.endswith(_SELF_ATTENTION)
            else _TokenAttention()
            for name in unet.attn_processors
        }
    )


def make_writer(unet: UNet2DConditionModel) -> None:
    """Lets a reference UNet fill the dict passed as `reference` on each forward pass."""
    _install(unet, _WritingSelfAttention)


def make_reader(unet: UNet2DConditionModel) -> None:
    """Lets a denoiser read the `ReferenceRead` passed as `reference` on each forward pass."""
    _install(unet, _ReadingSelfAttention)


def project_banks(denoiser: UNet2DConditionModel, banks: Mapping[str, Tensor]) -> ReferenceBanks:
    """Turns banks into keys and values of the denoiser's blocks of the same names.

    Args:
        denoiser: The UNet that will read.
        banks: Block name -> `(R, L, C)`, as written by the reference UNet.

    Returns:
        Keys and values, to be reused for every step and every pose.
    """
    keys, values = {}, {}
    for name, bank in banks.items():
        attn = denoiser.get_submodule(f"{name}.attn1")
        keys[name] = attn.to_k(bank)
        values[name] = attn.to_v(bank)
    return ReferenceBanks(keys, values)
