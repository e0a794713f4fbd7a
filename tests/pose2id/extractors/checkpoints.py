"""Random weights in the layouts that training code saves."""

from __future__ import annotations

import torch


def random_state(network, seed=0):
    """Weights like trained ones: small, with running statistics that are not trivial."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            state[name] = torch.zeros(tensor.shape, dtype=tensor.dtype)
        elif name.endswith("running_var"):
            state[name] = 0.5 + torch.rand(tensor.shape, generator=generator)
        else:
            scale = 1.0 if tensor.ndim < 2 else tensor[0].numel() ** -0.5
            state[name] = scale * torch.randn(tensor.shape, generator=generator)
    return state


def save(path, network, *, extra=(), wrap=None, prefix="", seed=0):
    """Saves random weights of a network beside keys that only training needs."""
    state = random_state(network, seed)
    state |= {name: torch.zeros(shape) for name, shape in dict(extra).items()}
    state = {prefix + name: tensor for name, tensor in state.items()}
    torch.save({wrap: state, "epoch": 3} if wrap else state, path)
    return path
