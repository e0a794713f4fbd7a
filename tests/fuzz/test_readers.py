"""Something valid with one mutation is read, or refused in words: nothing else happens, ever."""

import importlib.util

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from pose2id.errors import Pose2IdError
from tests.fuzz.readers import KINDS, NEEDS

MUTATIONS = 300


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_a_mutation_is_read_or_refused_in_words(kind, tmp_path):
    if kind in NEEDS and importlib.util.find_spec(NEEDS[kind]) is None:
        pytest.skip(f"{NEEDS[kind]} is not installed")
    mutations, read = KINDS[kind](tmp_path)
    n_refused = 0

    @settings(
        max_examples=MUTATIONS,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(mutations)
    def once(mutated):
        nonlocal n_refused
        try:
            read(mutated)
        except Pose2IdError as error:
            words = str(error)
        else:
            return
        n_refused += 1
        assert words.strip()

    once()
    assert n_refused or kind in ("export.json", "BMP")
