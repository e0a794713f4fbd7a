"""Key points of real pictures, by a pose network given as a local file."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pose2id.errors import MissingDependencyError, WeightsError
from pose2id.poses.formats import to_openpose18

SHIPPED: Final = Path("models/blazepose-lite/pose_landmark_lite.tflite")  # in a project
_SIDE_PX: Final = 256
_N_LANDMARKS: Final = 33
# The network was trained on crops with room around the person. Of 60 real crops, the share in which
# it finds a person is 82 % without room and 100 % at 1.5 times the longer side.
_ROOM: Final = 1.5
_VERSION: Final = 2  # of this module's arithmetic; key points found by another one are found anew


class BlazePoseEstimator:
    """BlazePose's landmark network (TFLite, 256x256) on crops that hold one person each.

    Args:
        model: The `.tflite` file.

    Attributes:
        fingerprint: Hex sha256 of the file and of how crops are shown to the network.

    Raises:
        MissingDependencyError: OpenVINO, which runs it, is not installed.
        WeightsError: The file is missing or is another network.
    """

    def __init__(self, model: Path) -> None:
        try:
            import openvino
        except ImportError as error:
            raise MissingDependencyError(
                "the pose network needs OpenVINO: pip install 'pose2id[openvino]'"
            ) from error
        if not model.is_file():
            raise WeightsError(f"there is no pose network {model}; name a BlazePose .tflite file")
        core = openvino.Core()
        try:
            network = core.read_model(model)
            shapes = [list(tensor.shape) for tensor in (*network.inputs, *network.outputs)]
        except RuntimeError as error:
            raise WeightsError(f"{model} is not a readable TFLite network: {error}") from error
        if shapes[:3] != [[1, _SIDE_PX, _SIDE_PX, 3], [1, 195], [1, 1]]:
            raise WeightsError(
                f"{model} has inputs and outputs of shapes {shapes}; BlazePose's landmark network "
                "takes (1, 256, 256, 3) and gives (1, 195) and (1, 1) first"
            )
        content = model.read_bytes() + f"|{_SIDE_PX}|{_ROOM}|{_VERSION}".encode()
        self.fingerprint = hashlib.sha256(content).hexdigest()
        # One thread: the last bits of a number depend on how many share its sum.
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "1"}
        self._compiled: Any = core.compile_model(network, "CPU", options)

    def __call__(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Finds the key points of the person in each picture; several threads may ask at once.

        Args:
            pictures: N pictures in mode `RGB`.

        Returns:
            `(N, 18, 3) float32` OpenPose-18: x and y in fractions of the picture's width and
            height (joints guessed outside lie beyond [0, 1]), and as confidence the probability
            that there is a person and the joint is visible.
        """
        if not pictures:
            return np.empty((0, 18, 3), dtype=np.float32)
        request = self._compiled.create_infer_request()
        return np.stack([self._one(picture, request) for picture in pictures])

    def _one(self, picture: Image.Image, request: Any) -> NDArray[np.float32]:  # noqa: ANN401
        side = round(max(picture.size) * _ROOM)
        left, top = (side - picture.width) // 2, (side - picture.height) // 2
        square = Image.new("RGB", (side, side))
        square.paste(picture, (left, top))
        small = square.resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BILINEAR)
        request.infer({0: np.asarray(small, dtype=np.float32)[None] / 255})
        landmarks = request.get_output_tensor(0).data.reshape(-1, 5)[:_N_LANDMARKS]
        person = float(request.get_output_tensor(1).data.item())
        xy = landmarks[:, :2] * (side / _SIDE_PX) - (left, top)  # (33, 2) pixels of the picture
        visible = 1 / (1 + np.exp(-landmarks[:, 3].astype(np.float64)))  # (33,)
        points = np.column_stack([xy / picture.size, visible * person])  # (33, 3)
        return to_openpose18(points, "blazepose33")


@functools.lru_cache(maxsize=1)
def shipped_estimator(root: str) -> BlazePoseEstimator:
    """The pose network that a project has in `models/`, loaded once per process."""
    return BlazePoseEstimator(Path(root) / SHIPPED)
