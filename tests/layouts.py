"""A small folder of every dataset layout, with the names that its authors use."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat


@dataclass(frozen=True)
class Case:
    """A layout's folder and what is in it.

    Attributes:
        files: Paths of the images.
        texts: Lists and tables beside them.
        counts: Split -> images, people, cameras.
        labels: Image id -> pid, camid.
        bad: Path of a file to add, the split that it belongs to, and a part of the reason.
        finish: Writes what is no text.
    """

    files: tuple[str, ...]
    counts: dict[str, tuple[int, int, int]]
    labels: dict[str, tuple[int | None, int | None]]
    bad: tuple[str, str, str] | None = None
    texts: dict[str, str] | None = None
    finish: Callable[[Path], None] | None = None


def picture(number: int, suffix: str = ".png") -> bytes:
    """A tiny picture that no other number has."""
    pixels = np.random.default_rng(number).integers(0, 256, (16, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    formats = {".jpg": "JPEG", ".bmp": "BMP", ".tif": "TIFF"}
    Image.fromarray(pixels).save(buffer, formats.get(suffix, "PNG"))
    return buffer.getvalue()


def write_case(root: Path, case: Case) -> Path:
    """Writes a layout's folder."""
    for number, name in enumerate(case.files):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number, path.suffix))
    for name, text in (case.texts or {}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    if case.finish:
        case.finish(root)
    return root


def _market(train: str, query: str, gallery: str, names: dict[str, list[str]]) -> tuple[str, ...]:
    folders = {"train": train, "query": query, "gallery": gallery}
    return tuple(f"{folders[split]}/{name}" for split in names for name in names[split])


def _mars_info(root: Path) -> None:
    savemat(root / "info/tracks_train_info.mat", {"track_train_info": np.array([[1, 2, 1, 1]])})
    tracks = np.array([[1, 1, -1, 1], [2, 3, 2, 1], [4, 4, 2, 2], [5, 5, 0, 2]])
    savemat(root / "info/tracks_test_info.mat", {"track_test_info": tracks})
    savemat(root / "info/query_IDX.mat", {"query_IDX": np.array([[2]])})


_MARS_TRAIN = ("0001C1T0001F001.jpg", "0001C1T0001F002.jpg")
_MARS_TEST = (
    *("00-1C1T0001F001.jpg", "0002C1T0001F001.jpg", "0002C1T0001F002.jpg"),
    *("0002C2T0002F001.jpg", "0000C2T0001F001.jpg"),
)
_MSMT_LISTS = {
    "list_train.txt": "0000/0000_000_01_0303morning_0008_0.jpg 0\n",
    "list_val.txt": "0000/0000_001_02_0303morning_0009_1.jpg 0\n",
    "list_query.txt": "0000/0000_000_01_0303noon_0100_0.jpg 0\n",
    "list_gallery.txt": "0000/0000_001_14_0303noon_0200_1.jpg 0\n"
    "0001/0001_000_15_0303noon_0300_0.jpg 1\nbroken 1\n",
}

CASES: dict[str, Case] = {
    "market1501": Case(
        _market(
            "bounding_box_train",
            "query",
            "bounding_box_test",
            {
                "train": ["0002_c1s1_000451_03.jpg", "0007_c002_000551_01.jpg"],
                "query": ["0003_c1s1_000001_00.jpg"],
                "gallery": [
                    "0003_c6s2_000002_01.jpg",
                    "0000_c1s1_000003_01.jpg",
                    "-1_c1s1_000004_01.jpg",
                ],
            },
        ),
        {"train": (2, 2, 2), "query": (1, 1, 1), "gallery": (2, 2, 2)},
        {"gallery/0003_c6s2_000002_01": (3, 5), "train/0007_c002_000551_01": (7, 1)},
        ("bounding_box_test/0003_c0s1_000005_01.jpg", "gallery", "counts cameras from 1"),
    ),
    "msmt17": Case(
        (
            "train/0000/0000_000_01_0303morning_0008_0.jpg",
            "train/0000/0000_001_02_0303morning_0009_1.jpg",
            "test/0000/0000_000_01_0303noon_0100_0.jpg",
            "test/0000/0000_001_14_0303noon_0200_1.jpg",
            "test/0001/0001_000_15_0303noon_0300_0.jpg",
        ),
        {"train": (1, 1, 1), "val": (1, 1, 1), "query": (1, 1, 1), "gallery": (2, 2, 2)},
        {"gallery/0000/0000_001_14_0303noon_0200_1": (0, 13)},
        ("test/broken", "gallery", "list_gallery.txt, line 3"),
        _MSMT_LISTS,
    ),
    "cuhk03": Case(
        tuple(
            f"{boxes}/{path}"
            for boxes in ("labeled", "detected")
            for path in (
                "bounding_box_train/0001_c1_1.png",
                "query/0003_c1_21.png",
                "bounding_box_test/0003_c2_26.png",
            )
        ),
        {"train": (1, 1, 1), "query": (1, 1, 1), "gallery": (1, 1, 1)},
        {"gallery/0003_c2_26": (3, 1)},
        ("labeled/query/0003_21.png", "query", "is not named"),
    ),
    "occluded_duke": Case(
        _market(
            "bounding_box_train",
            "query",
            "bounding_box_test",
            {
                "train": ["0001_c2_f0046182.jpg"],
                "query": ["0019_c1_f0051230.jpg"],
                "gallery": ["0019_c8_f0051231.jpg", "0020_c3_f0051232.jpg"],
            },
        ),
        {"train": (1, 1, 1), "query": (1, 1, 1), "gallery": (2, 2, 2)},
        {"gallery/0019_c8_f0051231": (19, 7)},
        ("query/0019_f0051230.jpg", "query", "is not named"),
    ),
    "p_dukemtmc": Case(
        (
            "train/occluded_body_images/1/0001_c1_f0046182.jpg",
            "train/whole_body_images/1/0001_c1_f0046182.jpg",
            "test/occluded_body_images/7/0007_c2_f0046183.jpg",
            "test/whole_body_images/7/0007_c3_f0046184.jpg",
        ),
        {"train": (2, 1, 2), "query": (1, 1, 1), "gallery": (1, 1, 1)},
        {"query/7/0007_c2_f0046183": (7, 0), "gallery/7/0007_c3_f0046184": (7, 1)},
        ("test/whole_body_images/x/a.jpg", "gallery", "person id is 'x'"),
    ),
    "occluded_reid": Case(
        (
            "occluded_body_images/001/001_01.tif",
            "whole_body_images/001/001_01.tif",
            "whole_body_images/200/200_05.tif",
        ),
        {"query": (1, 1, 1), "gallery": (2, 2, 1)},
        {"query/001/001_01": (1, 0), "gallery/200/200_05": (200, 1)},
        ("whole_body_images/9999999999/1_1.tif", "gallery", "person id is 9999999999"),
    ),
    "sysu_mm01": Case(
        (
            *("cam1/0001/0001.jpg", "cam3/0001/0001.jpg", "cam2/0002/0001.jpg"),
            *("cam1/0006/0001.jpg", "cam4/0006/0002.jpg", "cam3/0006/0001.jpg"),
            "cam6/0006/0001.jpg",
        ),
        {"train": (3, 2, 3), "val": (1, 1, 1), "query": (2, 1, 2), "gallery": (2, 1, 2)},
        {"query/cam6/0006/0001": (6, 5), "gallery/cam4/0006/0002": (6, 3)},
        ("cam1/people/0001.jpg", "gallery", "is not named by a person id"),
        {"exp/train_id.txt": "1\n", "exp/val_id.txt": "2\n", "exp/test_id.txt": "6,7\n"},
    ),
    "regdb": Case(
        (
            *("Visible/1/male_back_v_00001_1.bmp", "Thermal/1/male_back_t_00001_1.bmp"),
            *("Visible/2/female_front_v_00002_2.bmp", "Thermal/2/female_front_t_00002_2.bmp"),
        ),
        {"train": (2, 1, 2), "query": (1, 1, 1), "gallery": (1, 1, 1)},
        {
            "query/Visible/2/female_front_v_00002_2": (0, 0),
            "gallery/Thermal/2/female_front_t_00002_2": (0, 1),
        },
        ("Visible/3/gone.txt", "query", "idx/test_visible_1.txt, line 2"),
        {
            "idx/train_visible_1.txt": "Visible/1/male_back_v_00001_1.bmp 0\n",
            "idx/train_thermal_1.txt": "Thermal/1/male_back_t_00001_1.bmp 0\n",
            "idx/test_visible_1.txt": "Visible/2/female_front_v_00002_2.bmp 0\n"
            "Visible/3/gone.bmp 1\n",
            "idx/test_thermal_1.txt": "Thermal\\2\\female_front_t_00002_2.bmp 0\n",
        },
    ),
    "ltcc": Case(
        ("train/000_1_c10_012345.png", "query/094_1_c9_015833.png", "test/094_2_c1_015834.png"),
        {"train": (1, 1, 1), "query": (1, 1, 1), "gallery": (1, 1, 1)},
        {"gallery/094_2_c1_015834": (94, 0), "train/000_1_c10_012345": (0, 9)},
        ("test/094_c1_015834.png", "gallery", "is not named"),
    ),
    "prcc": Case(
        (
            *("rgb/train/001/A_cropped_rgb001.jpg", "rgb/train/001/C_cropped_rgb002.jpg"),
            "rgb/val/001/B_cropped_rgb003.jpg",
            *("rgb/test/A/003/cropped_rgb001.jpg", "rgb/test/B/003/cropped_rgb001.jpg"),
            "rgb/test/C/003/cropped_rgb001.jpg",
        ),
        {
            "train": (2, 1, 2),
            "val": (1, 1, 1),
            "query_same": (1, 1, 1),
            "query_changed": (1, 1, 1),
            "gallery": (1, 1, 1),
        },
        {"query_changed/003/cropped_rgb001": (3, 2), "gallery/003/cropped_rgb001": (3, 0)},
        ("rgb/train/001/D_cropped_rgb001.jpg", "train", "is not named"),
    ),
    "vc_clothes": Case(
        ("train/0001-01-01-01.jpg", "query/0002-03-02-05.jpg", "gallery/0002-04-03-06.jpg"),
        {"train": (1, 1, 1), "query": (1, 1, 1), "gallery": (1, 1, 1)},
        {"gallery/0002-04-03-06": (2, 3)},
        ("gallery/0002-04-03-06 (1).jpg", "gallery", "second copy"),
    ),
    "last": Case(
        (
            "train/000001/000001_01_1.jpg",
            "val/query/000002_01_1.jpg",
            "val/gallery/000002/000002_02_1.jpg",
            "test/query/000003_01_1.jpg",
            "test/gallery/000003/000003_02_1.jpg",
        ),
        {
            "train": (1, 1, 0),
            "val_query": (1, 1, 0),
            "val_gallery": (1, 1, 0),
            "query": (1, 1, 0),
            "gallery": (1, 1, 0),
        },
        {"gallery/000003/000003_02_1": (3, None)},
        ("test/query/someone.jpg", "query", "is not named"),
    ),
    "celeb_reid": Case(
        ("train/1_1_0.jpg", "query/2_12_0.jpg", "gallery/2_13_1.jpg"),
        {"train": (1, 1, 0), "query": (1, 1, 0), "gallery": (1, 1, 0)},
        {"gallery/2_13_1": (2, None)},
        ("gallery/2-13-1.jpg", "gallery", "is not named"),
    ),
    "viper": Case(
        ("cam_a/000_45.bmp", "cam_a/001_90.bmp", "cam_b/000_90.bmp", "cam_b/001_0.bmp"),
        {"query": (2, 2, 1), "gallery": (2, 2, 1)},
        {"query/000_45": (0, 0), "gallery/001_0": (1, 1)},
        ("cam_a/x.bmp", "query", "is not named"),
    ),
    "deepchange": Case(
        (
            *("train-set/P1_C01_a1_1.jpg", "val-set-query/P2_C02_a1_1.jpg"),
            *("val-set-gallery/P2_C03_a2_1.jpg", "test-set-query/P3_C04_b1_1.jpg"),
            "test-set-gallery/P3_C05_b2_1.jpg",
        ),
        {
            "train": (1, 1, 1),
            "val_query": (1, 1, 1),
            "val_gallery": (1, 1, 1),
            "query": (1, 1, 1),
            "gallery": (1, 1, 1),
        },
        {"gallery/P3_C05_b2_1": (3, 4)},
        ("test-set-gallery/x.txt", "gallery", "test-set-gallery-bbox.txt, line 2"),
        {
            "train-set-bbox.txt": "P1_C01_a1_1.jpg,1\n",
            "val-set-query-bbox.txt": "P2_C02_a1_1.jpg,2\n",
            "val-set-gallery-bbox.txt": "P2_C03_a2_1.jpg,3\n",
            "test-set-query-bbox.txt": "P3_C04_b1_1.jpg,4\n",
            "test-set-gallery-bbox.txt": "P3_C05_b2_1.jpg,5\nnobody.jpg,6\n",
        },
    ),
    "ccvid": Case(
        (
            *("session1/001_01/00001.jpg", "session1/001_01/00002.jpg"),
            *("session3/002_02/00001.jpg", "session1/002_01/00001.jpg"),
        ),
        {"train": (2, 1, 1), "query": (1, 1, 1), "gallery": (1, 1, 1)},
        {"query/session3/002_02/00001": (2, 13)},
        ("session9/x.txt", "gallery", "no folder 'session1/009_01'"),
        {
            "train.txt": "session1/001_01\t001\tu0_l0_s0_c0_a0\n",
            "query.txt": "session3/002_02\t002\tu1_l0_s0_c0_a0\n",
            "gallery.txt": "session1/002_01\t002\tu0_l0_s0_c0_a0\nsession1/009_01 009 u0\n",
        },
    ),
    "mars": Case(
        (
            *(f"bbox_train/{name[:4]}/{name}" for name in _MARS_TRAIN),
            *(f"bbox_test/{name[:4]}/{name}" for name in _MARS_TEST),
        ),
        {"train": (2, 1, 1), "query": (2, 1, 1), "gallery": (2, 2, 1)},
        {"gallery/0002/0002C2T0002F001": (2, 1), "gallery/0000/0000C2T0001F001": (0, 1)},
        None,
        {
            "info/train_name.txt": "\n".join(_MARS_TRAIN),
            "info/test_name.txt": "\n".join(_MARS_TEST),
        },
        _mars_info,
    ),
    "veri776": Case(
        _market(
            "image_train",
            "image_query",
            "image_test",
            {
                "train": ["0001_c001_00016450_0.jpg"],
                "query": ["0002_c002_00030600_0.jpg"],
                "gallery": ["0002_c020_00030601_0.jpg"],
            },
        ),
        {"train": (1, 1, 1), "query": (1, 1, 1), "gallery": (1, 1, 1)},
        {"gallery/0002_c020_00030601_0": (2, 19)},
        ("image_test/more/0002_c020_00030602_0.jpg", "gallery", "lies in a folder inside"),
    ),
    "person_folders": Case(
        ("query/ann/1.png", "query/bob/1.png", "gallery/ann/2.png", "gallery/cid/x/1.png"),
        {"query": (2, 2, 0), "gallery": (2, 2, 0)},
        {"gallery/ann/2": (0, None), "gallery/cid/x/1": (2, None)},
        ("gallery/stray.png", "gallery", "not in the folder of a person"),
    ),
    "folder": Case(
        ("query/a.png", "gallery/b.png", "gallery/deep/er/b.png"),
        {"query": (1, 0, 0), "gallery": (2, 0, 0)},
        {"gallery/deep/er/b": (None, None)},
        ("gallery/c.gif", "gallery", "by its suffix"),
    ),
    "manifest": Case(
        ("a.png", "cam 1/b.png", "cam 1/c.png"),
        {"query": (1, 1, 1), "gallery": (2, 2, 1)},
        {"gallery/cam 1/b": (7, 1), "query/a": (7, 0)},
        None,
        {
            "query.csv": "path,pid,camid\na.png,7,0\n",
            "gallery.csv": "Path;PID;CamID;Notes\ncam 1\\b.png;7.0;1.0;x\ncam 1/c.png;8.0;1.0;\n",
        },
    ),
    "hf": Case(
        ("query/a.png", "gallery/b.png", "gallery/c.png"),
        {"query": (1, 1, 1), "gallery": (2, 2, 1)},
        {"gallery/b": (7, 1)},
        ("gallery/d.png", "gallery", "is not named in metadata.jsonl"),
        {
            "query/metadata.csv": "file_name,pid,camid\na.png,7,0\n",
            "gallery/metadata.jsonl": "".join(
                json.dumps({"file_name": name, "pid": pid, "camid": 1}) + "\n"
                for name, pid in (("b.png", 7), ("c.png", 8))
            ),
        },
    ),
}
