"""`data/corrections.csv`: what it may say, and what the index makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pose2id.datasets.base import ImageRecord
from pose2id.errors import DataError
from tasks.tables.corrections import correct, read_corrections

SPLITS = ("query", "gallery")
NOBODY = frozenset({0, -1})


def written(folder: Path, *lines: str) -> Path:
    path = folder / "corrections.csv"
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    return path


def record(name: str, pid: int, *, distractor: bool = False) -> ImageRecord:
    split = name.partition("/")[0]
    return ImageRecord(name, f"{name}.jpg", split, pid, 0, distractor=distractor)


RECORDS = (
    *(record("gallery/a", 1), record("gallery/b", 2), record("gallery/c", 0, distractor=True)),
    record("gallery/d", 4),
)


def test_images_are_relabelled_dropped_and_kept(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "Image_ID; action ;pid;note",
        "gallery/a;Relabel;7;was 1, see query/x",
        "gallery/b;drop;;",
        "gallery/c;relabel;8;no distractor",
        ";;;",
        "gallery/d;keep;4;looked at",
        "query/x;drop;;of another split",
    )
    found = correct(RECORDS, read_corrections(path, SPLITS), "gallery", path=path, nobody=NOBODY)
    assert [(item.image_id, item.pid, item.distractor) for item in found.kept] == [
        *(("gallery/a", 7, False), ("gallery/c", 8, False), ("gallery/d", 4, False)),
    ]
    assert [item.image_id for item in found.dropped] == ["gallery/b"]
    assert found.n_relabelled == 2


def test_without_a_file_nothing_is_decided(tmp_path: Path) -> None:
    assert read_corrections(tmp_path / "none.csv", SPLITS) == {}
    assert read_corrections(written(tmp_path, "image_id,action,pid,note"), SPLITS) == {}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["image_id,pid"], ["columns image_id, pid", "image_id, action, pid, note"]),
        (["image_id,action,person"], ["columns image_id, action, person"]),
        ([""], ["columns none"]),
        (["image_id,action", "gallery/a,delete"], ["line 2", "'delete'", "keep, drop, relabel"]),
        (["image_id,action", "gallery/a,relabel"], ["line 2", "pid is ''"]),
        (["image_id,action,pid", "gallery/a,relabel,-1"], ["pid is -1", "0 to 2147483647"]),
        (["image_id,action,pid", "gallery/a,relabel,2147483648"], ["2147483648"]),
        (["image_id,action", "test/a,drop"], ["'test/a'", "query, gallery"]),
        (["image_id,action", "gallery/a,drop", "gallery/a,keep"], ["line 3", "line 2 already"]),
        (["image_id,action", "gallery/a,drop,1"], ["line 2", "3 cells"]),
        (["image_id,action", *["x,drop"] * 30], ["30 line(s)", "and 20 more"]),
        (["image_id,action", '"gallery/a,drop'], ["not a CSV file"]),
    ],
)
def test_what_is_wrong_with_it_is_said_with_its_line(
    tmp_path: Path, lines: list[str], words: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        read_corrections(written(tmp_path, *lines), SPLITS)
    assert [word for word in words if word not in str(caught.value)] == []


def test_images_that_are_not_there_and_people_who_are_none_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "image_id,action,pid", "gallery/z,drop,", "gallery/b,relabel,0")
    corrections = read_corrections(path, SPLITS)
    with pytest.raises(DataError, match=r"gallery/z \(line 2\)"):
        correct(RECORDS, corrections, "gallery", path=path, nobody=NOBODY)
    del corrections["gallery/z"]
    with pytest.raises(DataError, match=r"line 3: pid 0 marks a distractor or junk"):
        correct(RECORDS, corrections, "gallery", path=path, nobody=NOBODY)
