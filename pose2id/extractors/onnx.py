"""Feature networks exported to ONNX, run by ONNX Runtime."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pose2id.errors import MissingDependencyError, WeightsError
from pose2id.extractors.base import InputSpec, Request, Sides
from pose2id.extractors.exported import as_features, check_dim, check_input, pick_output
from pose2id.extractors.families import Side
from pose2id.extractors.preprocess import fingerprint, normalize
from pose2id.extractors.weights import find_file

_DTYPES: Final = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
# A protobuf entry {key: "location", value: <file name of up to 127 bytes>}.
_LOCATION: Final = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])")


class OnnxExtractor:
    """An exported network behind the extractor protocol.

    A network with a fixed batch runs in chunks of that size, the last one filled up.

    Args:
        model: The `.onnx` file; weights outside it are found where it says.
        input_spec: What the network wants.
        output: Name of the output that holds the features; not needed where there is only one.
        dim: Declared width of a feature, checked.
        cuda: Whether to run on a GPU where ONNX Runtime has one.

    Raises:
        MissingDependencyError: ONNX Runtime is not installed.
        WeightsError: The network is missing, unreadable, or not as declared.
    """

    side: Side = "none"

    def __init__(
        self,
        model: Path,
        input_spec: InputSpec,
        output: str | None = None,
        dim: int | None = None,
        *,
        cuda: bool = False,
    ) -> None:
        self.name = f"onnx:{model.stem}"
        self.input_spec = input_spec
        self._path = model
        external = _external_files(model)
        self._session = _open(model, cuda)
        try:
            inputs = self._session.get_inputs()
            shapes = [[n if isinstance(n, int) else None for n in one.shape] for one in inputs]
            types = [one.type for one in inputs]
            given = [one.name for one in inputs]
            names = [one.name for one in self._session.get_outputs()]
        except UnicodeDecodeError as error:
            raise WeightsError(
                f"{model} is not a readable ONNX network: a name in it is no text"
            ) from error
        check_input(model, shapes, input_spec)
        if types[0] not in _DTYPES:
            raise WeightsError(f"{model} takes {types[0]}; {' or '.join(_DTYPES)} is needed")
        self._input, self._dtype = given[0], _DTYPES[types[0]]
        self._fixed_batch = shapes[0][0]
        self._output = names[pick_output(model, [[name] for name in names], output)]
        black = np.zeros((1, input_spec.height_px, input_spec.width_px, 3), dtype=np.uint8)
        self.dim = check_dim(model, self(black).shape[1], dim)
        self.files = (model, *external)
        self.fingerprint = fingerprint(
            self.files, input_spec, runtime="onnxruntime", output=self._output
        )

    def __call__(
        self, images: NDArray[np.uint8], sides: Sides | None = None
    ) -> NDArray[np.float32]:
        """Extracts features; see `pose2id.extractors.base.Extractor`."""
        x = np.ascontiguousarray(normalize(images, self.input_spec), dtype=self._dtype)
        size = self._fixed_batch or len(x)
        chunks = [self._run(x[start : start + size], size) for start in range(0, len(x), size)]
        return np.concatenate(chunks)

    def _run(self, x: NDArray[Any], size: int) -> NDArray[np.float32]:
        filled = np.pad(x, [(0, size - len(x)), (0, 0), (0, 0), (0, 0)])
        try:
            (output,) = self._session.run([self._output], {self._input: filled})
        except _runtime_errors() as error:
            raise WeightsError(
                f"{self._path} failed on pictures of shape {filled.shape}: {error}"
            ) from error
        return as_features(self._path, output, size)[: len(x)]


def load(request: Request) -> OnnxExtractor:
    """Loads the network of a file or folder; see `OnnxExtractor`."""
    model = find_file(request.model, (".onnx",), request.options.file, "features.options.file")
    assert request.input_spec is not None  # load_extractor has checked it
    cuda = request.device.type == "cuda"
    return OnnxExtractor(model, request.input_spec, request.output, request.dim, cuda=cuda)


def _open(model: Path, cuda: bool) -> Any:  # noqa: ANN401 - ONNX Runtime is untyped
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(
            "features.extractor 'onnx' needs ONNX Runtime: pip install 'pose2id[onnx]'"
        ) from error
    wanted = ["CUDAExecutionProvider"] * cuda + ["CPUExecutionProvider"]
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    # One thread per picture's features: with more, the last bits depend on how many there are.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=providers)
    except _runtime_errors() as error:
        raise WeightsError(f"{model} is not a readable ONNX network: {error}") from error


def _runtime_errors() -> tuple[type[Exception], ...]:
    """ONNX Runtime's exceptions, which have no base class of their own.

    Where its own message quotes a damaged name, making the message fails: UnicodeDecodeError.
    """
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = (
        "EPFail",
        "Fail",
        "InvalidArgument",
        "InvalidGraph",
        "InvalidProtobuf",
        "NoSuchFile",
        "NotImplemented",
        "RuntimeException",
    )
    return (*(getattr(state, name) for name in names), UnicodeDecodeError)


def _external_files(model: Path) -> list[Path]:
    """Files in the model's folder that hold weights which the `.onnx` file only refers to."""
    data = model.read_bytes()
    names = {
        data[match.end() : match.end() + match[1][0]].decode("utf-8", "replace")
        for match in _LOCATION.finditer(data)
    }
    if outside := [n for n in names if ".." in PurePosixPath(n).parts or n.startswith("/")]:
        raise WeightsError(f"{model} refers to weights outside its folder: {sorted(outside)}")
    missing = [name for name in sorted(names) if not (model.parent / name).is_file()]
    if missing:
        raise WeightsError(f"{model} keeps its weights in {missing}, missing beside it")
    return [model.parent / name for name in sorted(names)]
