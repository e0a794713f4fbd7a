import io

import numpy as np
import pytest
from PIL import Image

from pose2id.errors import DataError
from tasks.tables.synthetic_mark import Mark, mark_picture, to_jpeg
from tests.marks import read_mark

MARK = Mark("train/0002_c1s1_\u00e9<x>", 3, "ab" * 32, "cd" * 32)
PIXELS = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
OPTIONS = {"png": {}, "jpeg": {"quality": 95, "subsampling": 0}, "webp": {"lossless": True}}


def encoded(file_format):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format=file_format, **OPTIONS[file_format])
    return buffer.getvalue()


def pixels(data):
    with Image.open(io.BytesIO(data)) as picture:
        picture.verify()
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("file_format", OPTIONS)
def test_a_mark_says_what_made_the_picture_and_leaves_its_pixels(file_format):
    data = encoded(file_format)
    marked = mark_picture(data, file_format, MARK)
    assert read_mark(data) is None
    assert read_mark(marked) == {
        "synthetic": True,
        "source_image_id": MARK.source_image_id,
        "pose_id": 3,
        "generator": "ab" * 32,
        "key": "cd" * 32,
    }
    np.testing.assert_array_equal(pixels(marked), pixels(data))


def test_other_programs_find_the_mark_in_the_usual_places():
    with Image.open(io.BytesIO(mark_picture(encoded("png"), "png", MARK))) as picture:
        assert picture.text["Software"] == "Pose2ID"
    with Image.open(io.BytesIO(mark_picture(encoded("jpeg"), "jpeg", MARK))) as picture:
        assert '"synthetic": true' in picture.getexif()[0x010E]  # ImageDescription


def test_a_stored_jpeg_is_not_encoded_again():
    data = encoded("jpeg")
    np.testing.assert_array_equal(pixels(to_jpeg(data, "jpeg", MARK)), pixels(data))


def test_a_png_becomes_a_marked_jpeg_of_the_same_size():
    jpeg = to_jpeg(encoded("png"), "png", MARK)
    with Image.open(io.BytesIO(jpeg)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (32, 64))
    assert read_mark(jpeg)["source_image_id"] == MARK.source_image_id


def test_bytes_of_another_format_are_refused():
    with pytest.raises(DataError, match="pose 3 is not a png file"):
        mark_picture(encoded("jpeg"), "png", MARK)
