"""Linear layers as convolutions: the same numbers, weights and names."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pose2id.generation.cpu_linear import ConvolvedLinear, convolve_linears


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(4, 6, 24), (1, 1, 24), (4, 24), (2, 3, 5, 24)])
def test_equals_the_plain_layers(bias: bool, shape: tuple[int, ...]):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(24, 40, bias=bias), nn.GELU(), nn.Linear(40, 8, bias=bias))
    convolved = copy.deepcopy(plain)
    convolve_linears(convolved)
    assert [type(layer) for layer in convolved] == [ConvolvedLinear, nn.GELU, ConvolvedLinear]
    x = torch.randn(shape)
    torch.testing.assert_close(convolved(x), plain(x), rtol=1e-5, atol=1e-6)


def test_keeps_weights_names_and_mode():
    plain = nn.ModuleDict({"inner": nn.Sequential(nn.Linear(3, 3))}).eval()
    weight = plain["inner"][0].weight
    convolve_linears(plain)
    assert list(plain.state_dict()) == ["inner.0.weight", "inner.0.bias"]
    assert plain["inner"][0].weight is weight
    assert not plain["inner"][0].training
