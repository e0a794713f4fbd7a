"""Features of many encoded pictures: decoding overlaps inference, batches never matter.

Every batch has the same size (the last is filled up with black pictures). At a fixed size a network
computes each row the same way whatever the other rows hold, so a feature does not depend on how the
pictures were grouped, on the number of threads or on a picture that could not be decoded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose2id.datasets.images import decode_rgb
from pose2id.errors import DataError, ParamsError, WeightsError
from pose2id.extractors.base import NO_SIDE, Extractor, InputSpec, Sides
from pose2id.extractors.preprocess import resize

DECODE_THREADS: Final = 2
_BATCHES_AHEAD: Final = 2

Source = Callable[[], bytes]


def extract(
    extractor: Extractor,
    sources: Iterable[Source],
    batch_size: int,
    *,
    sides: Sequence[int] | None = None,
    threads: int = DECODE_THREADS,
) -> tuple[NDArray[np.float32], dict[int, str]]:
    """Extracts the feature of every picture, in order.

    Args:
        extractor: The feature network.
        sources: Callables that return the bytes of an encoded picture; called once each, on a
            decoding thread.
        batch_size: Pictures per call of the network; part of what decides the last bits of a
            feature.
        sides: Camera or modality of each picture, -1 = none or unknown, where the network wants to
            know it; None = none.
        threads: Decoding threads. At most two batches are decoded ahead of the network.

    Returns:
        `(N, D) float32` raw features, a row of NaN for a picture that could not be used, and the
        reasons by row number.

    Raises:
        ParamsError: `batch_size` or `threads` is below 1.
        WeightsError: The network returned something else than a float32 row of D per picture.
    """
    if batch_size < 1 or threads < 1:
        raise ParamsError(
            f"batch_size is {batch_size} and threads is {threads}; both must be at least 1"
        )
    spec = extractor.input_spec
    rows: list[NDArray[np.float32]] = []
    failures: dict[int, str] = {}
    batch = np.zeros((batch_size, spec.height_px, spec.width_px, 3), dtype=np.uint8)
    batch_sides = np.full(batch_size, NO_SIDE, dtype=np.int64)
    waiting: list[int] = []  # row numbers of the pictures in `batch`

    def flush() -> None:
        batch[len(waiting) :], batch_sides[len(waiting) :] = 0, NO_SIDE
        if sides is not None:
            batch_sides[: len(waiting)] = [sides[row] for row in waiting]
        for row, feature in zip(waiting, _features(extractor, batch, batch_sides), strict=False):
            rows[row] = feature
        waiting.clear()

    missing = np.full(extractor.dim, np.nan, dtype=np.float32)
    with ThreadPoolExecutor(threads) as pool:
        decoded = _in_order(pool, sources, spec, ahead=_BATCHES_AHEAD * batch_size)
        for row, picture in enumerate(decoded):
            rows.append(missing)
            if isinstance(picture, str):
                failures[row] = picture
                continue
            batch[len(waiting)] = picture
            waiting.append(row)
            if len(waiting) == batch_size:
                flush()
    if waiting:
        flush()
    features = np.stack(rows) if rows else np.empty((0, extractor.dim), dtype=np.float32)
    return features, failures


def _in_order(
    pool: ThreadPoolExecutor, sources: Iterable[Source], spec: InputSpec, ahead: int
) -> Iterator[NDArray[np.uint8] | str]:
    """Decodes with at most `ahead` pictures in flight, yielding them in the order of `sources`."""
    remaining = iter(sources)
    pending: deque[Future[NDArray[np.uint8] | str]] = deque(
        pool.submit(_decode, source, spec) for source in islice(remaining, ahead)
    )
    while pending:
        picture = pending.popleft().result()
        pending.extend(pool.submit(_decode, source, spec) for source in islice(remaining, 1))
        yield picture


def _decode(source: Source, spec: InputSpec) -> NDArray[np.uint8] | str:
    """The picture at the network's size, or the reason why there is none."""
    try:
        return resize(decode_rgb(source()), spec)
    except DataError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _features(extractor: Extractor, batch: NDArray[np.uint8], sides: Sides) -> NDArray[np.float32]:
    features = extractor(batch) if extractor.side == "none" else extractor(batch, sides)
    if features.shape != (len(batch), extractor.dim) or features.dtype != np.float32:
        raise WeightsError(
            f"the extractor {extractor.name!r} returned {features.dtype} of shape "
            f"{features.shape} for {len(batch)} pictures; float32 of shape "
            f"({len(batch)}, {extractor.dim}) is declared"
        )
    return features
