"""Lists and tables with one mutation: a listing, or one clear error, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pose2id.datasets.registry import make_reader
from pose2id.errors import DataError
from tests.layouts import CASES, write_case

READ_FROM_TEXT = [name for name, case in CASES.items() if case.texts]
MANY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def mutated(data: bytes, draw: st.DataObject) -> bytes:
    """Bytes cut out, put in, or one of them changed."""
    start = draw.draw(st.integers(0, len(data)))
    end = draw.draw(st.integers(start, min(len(data), start + 8)))
    return data[:start] + draw.draw(st.binary(max_size=8)) + data[end:]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for name in READ_FROM_TEXT:
        made[name] = write_case(tmp_path_factory.mktemp(name), CASES[name])
    return made


@pytest.mark.parametrize("name", READ_FROM_TEXT)
@MANY
@given(draw=st.data())
def test_a_mutated_list_is_read_or_refused(folders: dict[str, Path], name: str, draw) -> None:
    case, root = CASES[name], folders[name]
    file = draw.draw(st.sampled_from(sorted(case.texts)))
    whole = (root / file).read_bytes()
    try:
        (root / file).write_bytes(mutated(whole, draw))
        for split in case.counts:
            try:
                listing = make_reader(name).read_split(root, split)
            except DataError:
                continue
            ids = [record.image_id for record in listing.records]
            assert len(set(ids)) == len(ids)
            paths = [reject.path for reject in listing.rejects]
            assert len(set(paths)) == len(paths)
            assert all(path.isprintable() for path in paths)
            for record in listing.records:
                assert (root / record.path).resolve().is_relative_to(root.resolve())
    finally:
        (root / file).write_bytes(whole)
