"""Is a gain in mAP more than luck of the queries? Paired bootstrap over queries."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike

from pose2id.arrays import to_numpy
from pose2id.errors import DataError, ParamsError

_RESAMPLES_PER_CHUNK = 256


def paired_bootstrap(
    baseline_ap: ArrayLike,
    variant_ap: ArrayLike,
    n_resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """Difference in mean AP between two variants, with a percentile interval over queries.

    Queries without a positive (NaN) leave both sides. The pairing matters: both variants see the
    same resampled queries, so what is hard for both cancels.

    Args:
        baseline_ap: `(Q,)` AP per query, NaN where the query has no positive.
        variant_ap: `(Q,)` AP per query of the variant, in the same order.
        n_resamples: Resamples of the queries, at least 1.
        seed: Same seed, same interval.
        level: Coverage of the interval, between 0 and 1.

    Returns:
        (delta, low, high): mean of variant minus baseline, and its interval.

    Raises:
        DataError: Lengths differ, NaN in different places, or no valid query.
        ParamsError: `n_resamples` or `level` out of range.

    Example:
        >>> paired_bootstrap(np.array([0.5, 0.5]), np.array([0.75, 0.75]), 10)
        (0.25, 0.25, 0.25)
    """
    if n_resamples < 1 or not 0 < level < 1:
        raise ParamsError(
            f"n_resamples is {n_resamples} and level {level}; allowed: >= 1, and between 0 and 1."
        )
    base, variant = (to_numpy(ap).astype(np.float64) for ap in (baseline_ap, variant_ap))
    if base.shape != variant.shape or not np.array_equal(np.isnan(base), np.isnan(variant)):
        raise DataError(
            f"both variants must score the same queries; received {base.shape} and "
            f"{variant.shape} values, or different queries without a positive."
        )
    differences = (variant - base)[~np.isnan(base)]
    if not differences.size:
        raise DataError("no query has a positive, so there is no difference to resample.")
    digest = hashlib.sha256(f"paired_bootstrap/{seed}".encode()).digest()
    generator = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    means = np.empty(n_resamples)
    for start in range(0, n_resamples, _RESAMPLES_PER_CHUNK):
        stop = min(start + _RESAMPLES_PER_CHUNK, n_resamples)
        picks = generator.integers(0, differences.size, (stop - start, differences.size))
        means[start:stop] = differences[picks].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(differences.mean()), float(low), float(high)
