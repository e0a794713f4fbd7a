"""The metric for test loops gives what one call on everything gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pose2id.errors import DataError
from pose2id.features import l2_normalize
from pose2id.metrics import ReidMetric, evaluate


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((60, 8)).astype(np.float32)
    return features, rng.integers(0, 6, 60), rng.integers(0, 3, 60)


def test_batches_come_to_what_one_call_gives(data):
    features, pids, camids = data
    unit = l2_normalize(features)
    whole = evaluate(
        unit[:20],
        unit[20:],
        query_pids=pids[:20],
        gallery_pids=pids[20:],
        query_camids=camids[:20],
        gallery_camids=camids[20:],
    )
    first = ReidMetric(n_query=20)
    flagged = ReidMetric(top_k=5)
    for start in range(0, 60, 7):
        part = slice(start, start + 7)
        batch = torch.from_numpy(features[part]).requires_grad_()
        first.update(batch, torch.from_numpy(pids[part]), camids[part])
        flagged.update(batch, pids[part], camids[part], np.arange(60)[part] < 20)
    for metric in (first, flagged):
        assert np.array_equal(metric.compute().ap, whole.ap)
    assert flagged.compute().rankings.gallery.shape == (20, 5)
    first.reset()
    with pytest.raises(DataError, match="0 images were collected"):
        first.compute()


def test_memory_that_the_loop_uses_again_is_copied(data):
    features, pids, _ = data
    metric, buffer = ReidMetric(n_query=1, protocol="none", normalize=False), np.empty((1, 8), "f4")
    for row, pid in zip(features, pids, strict=True):
        buffer[:] = row
        metric.update(buffer, [pid])
    plain = evaluate(
        features[:1],
        features[1:],
        query_pids=pids[:1],
        gallery_pids=pids[1:],
        protocol="none",
    )
    assert metric.compute().mAP == plain.mAP


def test_a_wrong_call_says_how_to_call(data):
    features, pids, _ = data
    with pytest.raises(DataError, match="say which images are queries once"):
        ReidMetric().update(features, pids)
    with pytest.raises(DataError, match="say which images are queries once"):
        ReidMetric(n_query=3).update(features, pids, is_query=True)
    with pytest.raises(DataError, match="batch has 60 images but labels of 59"):
        ReidMetric(n_query=3).update(features, pids[:59])
    with pytest.raises(DataError, match="is_query must be true or false"):
        ReidMetric().update(features, pids, is_query=1)
    everyone = ReidMetric(n_query=60)
    everyone.update(features, pids)
    with pytest.raises(DataError, match="60 images were collected, of which 60 are queries"):
        everyone.compute()
