"""Arrays or tensors in, the same kind out."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch

import pose2id
from pose2id.arrays import same_kind, to_numpy
from pose2id.errors import DataError

FEATURES = np.random.default_rng(5).normal(size=(12, 6))
DRAWINGS = np.random.default_rng(6).normal(size=(12, 3, 6))


@pytest.fixture(
    params=["float16", "bfloat16", "float32", "float64", "requires_grad", "parameter", "strided"]
)
def tensor(request: pytest.FixtureRequest) -> torch.Tensor:
    made = torch.from_numpy(FEATURES)
    if request.param == "requires_grad":
        return made.float().requires_grad_() * 1.0  # a result within a graph
    if request.param == "parameter":
        return torch.nn.Parameter(made)
    if request.param == "strided":
        return torch.from_numpy(np.ascontiguousarray(FEATURES.T)).T
    return made.to(getattr(torch, request.param))


@pytest.mark.parametrize("function", [pose2id.l2_normalize, pose2id.nfc])
def test_a_tensor_gives_what_its_values_as_an_array_give(tensor: torch.Tensor, function):
    result = function(tensor)
    expected = function(tensor.detach().double().numpy())
    assert isinstance(result, torch.Tensor)
    assert (result.dtype, result.device) == (torch.float32, tensor.device)
    assert not result.requires_grad
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-6, atol=1e-7)


def test_the_tensor_itself_is_left_alone():
    tensor = torch.from_numpy(FEATURES.astype(np.float32))
    before = tensor.clone()
    pose2id.nfc(tensor).mul_(3)
    pose2id.l2_normalize(pose2id.l2_normalize(tensor)).mul_(3)
    assert torch.equal(tensor, before)


def test_arrays_stay_arrays_and_tensors_may_come_as_any_argument():
    fused = pose2id.fuse(FEATURES, torch.from_numpy(DRAWINGS), weights=torch.ones(12, 3))
    assert isinstance(fused, np.ndarray)
    tensor = pose2id.fuse(torch.from_numpy(FEATURES), generated=DRAWINGS)
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(fused, tensor.numpy())


def test_the_kind_is_that_of_the_first_argument_given_by_name_too():
    assert isinstance(pose2id.nfc(features=torch.from_numpy(FEATURES)), torch.Tensor)


def test_scores_of_tensors_are_those_of_arrays():
    pids = np.arange(12) // 3
    camids = np.arange(12) % 3
    of_arrays = pose2id.identity_density(FEATURES, pids)
    of_tensors = pose2id.identity_density(torch.from_numpy(FEATURES), torch.from_numpy(pids))
    assert of_arrays == of_tensors
    assert camids.shape == pids.shape
    table = pose2id.nearest_neighbors(torch.from_numpy(FEATURES).requires_grad_(), 3)
    assert isinstance(table.ids, np.ndarray)
    ap = torch.linspace(0, 1, 12, dtype=torch.float64)
    assert pose2id.paired_bootstrap(ap, ap / 2, 50) == pose2id.paired_bootstrap(
        ap.numpy(), ap.numpy() / 2, 50
    )


@pytest.mark.parametrize("function", [pose2id.l2_normalize, pose2id.nfc])
@pytest.mark.parametrize("features", [FEATURES.tolist(), [torch.ones(3)], "features", None])
def test_what_is_neither_array_nor_tensor_is_refused_with_a_way_out(function, features):
    with pytest.raises(DataError, match=r"array or a torch tensor.*np\.asarray"):
        function(features)


def test_tensors_without_plain_values_are_refused():
    with pytest.raises(DataError, match="dense"):
        to_numpy(torch.eye(3).to_sparse())
    with pytest.raises(DataError, match="dense"):
        to_numpy(torch.ones(3, device="meta"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_result_is_on_the_device_of_the_features():
    tensor = torch.from_numpy(FEATURES).cuda().requires_grad_()
    result = pose2id.nfc(tensor)
    assert result.device == tensor.device
    np.testing.assert_allclose(result.cpu().numpy(), pose2id.nfc(FEATURES), atol=1e-6)


def test_types_that_numpy_lacks_become_float32_and_others_stay():
    assert to_numpy(torch.ones(2, dtype=torch.bfloat16)).dtype == np.float32
    assert to_numpy(torch.ones(2, dtype=torch.float64)).dtype == np.float64
    assert to_numpy(torch.ones(2, dtype=torch.int32)).dtype == np.int32


def test_signatures_and_docstrings_stay():
    assert same_kind(pose2id.l2_normalize).__doc__ == pose2id.l2_normalize.__doc__
    assert list(inspect.signature(pose2id.nfc).parameters)[:2] == ["features", "k1"]


def test_arrays_are_normalised_without_importing_torch():
    code = (
        "import sys, numpy, pose2id; pose2id.l2_normalize(numpy.ones((2, 2)));"
        "pose2id.fuse(numpy.ones((2, 2)), numpy.ones((2, 1, 2)));"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
