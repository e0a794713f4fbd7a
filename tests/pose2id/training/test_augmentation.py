"""Random changes of training pictures: in range, repeatable, and as strong as said."""

import pytest
import torch

from pose2id.training.augmentation import augment, distort
from pose2id.training.randomness import StepRandom


def pictures():
    rows = torch.linspace(-1, 1, 32).view(1, 1, 32, 1)
    return (rows * torch.tensor([1.0, 0.3, -0.5]).view(1, 3, 1, 1)).expand(24, 3, 32, 16)


@pytest.mark.parametrize("change", [augment, distort])
def test_a_change_is_repeatable_and_in_range(change):
    first, again, other = (
        change(pictures(), StepRandom(17, "identity", step, step)) for step in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == pictures().shape
    assert float(first.abs().max()) <= 1.0
    assert torch.isfinite(first).all()


def test_distorting_changes_light_and_colour_and_leaves_the_input_alone():
    before = pictures().contiguous()
    kept = before.clone()
    found = distort(before, StepRandom(17, "identity", 0, 0))
    assert torch.equal(before, kept)
    brightness = found.mean(dim=(1, 2, 3))
    assert float(brightness.std()) > 0.05
    cast = found.mean(dim=(2, 3))
    assert float((cast[:, 0] - cast[:, 2]).std()) > 0.03


def test_gradients_pass():
    images = pictures().contiguous().requires_grad_(True)
    distort(images, StepRandom(17, "identity", 0, 0)).sum().backward()
    assert float(images.grad.abs().sum()) > 0
