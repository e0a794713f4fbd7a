"""Labels of images as the metrics want them, and whether they are what a protocol needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pose2id.errors import DataError
from pose2id.labels import NO_NAME, UNKNOWN, Labels
from pose2id.protocols import rules_of
from tasks.tables.params import Params
from tasks.tables.schema import Layout
from tasks.tables.store import read_table

_NUMBERS = {"pids": "pid", "camids": "camid", "clothes_ids": "clothes_id"}
_NAMES = {"tracklets": "tracklet_id", "groups": "group", "modality": "modality"}


def read_labels(layout: Layout, split: str, image_ids: list[str] | None = None) -> Labels:
    """Labels of images of a split.

    Args:
        layout: The project.
        split: Name of the split.
        image_ids: Images in the wanted order; None = all in the index's order.

    Returns:
        Labels with image ids; a column that no image has a value in is None.

    Raises:
        DataError: There is no index, or an image is not in it.
    """
    path = layout.index(split)
    wanted = ["image_id", "distractor", *_NUMBERS.values(), *_NAMES.values()]
    there = set(pq.read_schema(path).names) if path.is_file() else set(wanted)
    table = read_table(path, [name for name in wanted if name in there])
    if image_ids is not None:
        wanted_ids = pa.array(image_ids, pa.string())
        rows = pc.index_in(wanted_ids, value_set=table.column("image_id"))
        if rows.null_count:
            missing = wanted_ids.filter(pc.is_null(rows))
            raise DataError(
                f"{len(missing)} images of {split!r} have features but no index row, the first is "
                f"{missing[0].as_py()!r}; run the pipeline again: dvc repro"
            )
        table = table.take(rows)
    columns = {}
    for name, column in {**_NUMBERS, **_NAMES}.items():
        if column not in there or table.column(column).null_count == table.num_rows:
            continue
        unknown, kind = (UNKNOWN, np.int64) if name in _NUMBERS else (NO_NAME, np.str_)
        columns[name] = np.asarray(table.column(column).fill_null(unknown)).astype(kind)
    return Labels(
        **columns,
        distractors=np.asarray(table.column("distractor")),
        image_ids=np.asarray(table.column("image_id")).astype(np.str_),
    )


def check_protocol(params: Params, root: Path) -> None:
    """Refuses a protocol that the indexed images or files at hand are not enough for.

    Images without any person id are no obstacle: ranked lists can always be given.

    Raises:
        DataError: A column that the protocol needs is empty on one side, or no permutations.
    """
    score, layout = params.score, Layout(root)
    rules = rules_of(score.protocol)
    columns = {**_NUMBERS, **_NAMES}
    sides = {split: read_labels(layout, split) for split in (score.query, score.gallery)}
    if not all(labels.known("pids") for labels in sides.values()):
        return
    for need in rules.needs:
        for split, labels in sides.items():
            if not labels.known(need):
                raise DataError(
                    f"score.protocol {score.protocol} needs the index column {columns[need]!r}, "
                    f"which has no value in split {split!r}; choose a reader or a manifest that "
                    "gives it, or another protocol"
                )
    if rules.draws == "sysu_official":
        if score.permutations is None:
            raise DataError(
                f"score.protocol {score.protocol} draws galleries by SYSU-MM01's official "
                "permutations: set score.permutations to the path of rand_perm_cam.mat, or choose "
                f"{score.protocol}_seeded"
            )
        if not (root / score.permutations).is_file():
            raise DataError(
                f"score.permutations is {score.permutations!r}, and there is no such file"
            )
