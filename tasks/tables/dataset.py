"""The dataset that params.yaml names: its reader, and what its authors count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.tables.params import DatasetParams

if TYPE_CHECKING:
    from pose2id.datasets.layout import Layout


def reader_of(dataset: DatasetParams) -> Layout:
    """The reader of a dataset, with its options."""
    from pose2id.datasets.registry import make_reader

    return make_reader(
        dataset.reader,
        distractor_pids=dataset.distractor_pids,
        junk_pids=dataset.junk_pids,
        follow_links=dataset.follow_links,
        **dataset.options.given(),
    )
