"""Feature networks exported to OpenVINO IR (`.xml` with its `.bin`), on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pose2id.errors import MissingDependencyError, WeightsError
from pose2id.extractors.base import InputSpec, Request, Sides
from pose2id.extractors.exported import as_features, check_dim, check_input, pick_output
from pose2id.extractors.families import Side
from pose2id.extractors.preprocess import fingerprint, normalize
from pose2id.extractors.weights import find_file
from pose2id.machine import n_cores

# The second where OpenVINO's own message quotes bytes of the file that are no text.
_OPENVINO_ERRORS: Final = (RuntimeError, UnicodeDecodeError)


class OpenVinoExtractor:
    """An exported network behind the extractor protocol.

    Each picture is a request of its own and each request runs on one thread, as many at a time as
    there are cores: as fast as batches on a CPU, and a feature cannot depend on its neighbours or
    on the number of cores.

    Args:
        model: The `.xml` file; the `.bin` of the same name lies beside it.
        input_spec: What the network wants.
        output: Name of the output that holds the features; not needed where there is only one.
        dim: Declared width of a feature, checked.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
        WeightsError: The network is missing, unreadable, or not as declared.
    """

    side: Side = "none"

    def __init__(
        self,
        model: Path,
        input_spec: InputSpec,
        output: str | None = None,
        dim: int | None = None,
    ) -> None:
        weights = model.with_suffix(".bin")
        self.name = f"openvino:{model.stem}"
        self.input_spec = input_spec
        self._path = model
        self._network, self._output = _compile(model, weights, input_spec, output)
        spec = input_spec
        black = np.zeros((1, spec.height_px, spec.width_px, 3), dtype=np.uint8)
        self.dim = check_dim(model, self(black).shape[1], dim)
        self.files = (model, weights)
        self.fingerprint = fingerprint(
            self.files, input_spec, runtime="openvino", output=self._output
        )

    def __call__(
        self, images: NDArray[np.uint8], sides: Sides | None = None
    ) -> NDArray[np.float32]:
        """Extracts features; see `pose2id.extractors.base.Extractor`."""
        x = np.ascontiguousarray(normalize(images, self.input_spec))
        # Own requests per call, so that several threads may share one extractor.
        n_streams = self._network.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        requests = [self._network.create_infer_request() for _ in range(min(n_streams, len(x)))]
        outputs: list[NDArray[np.generic]] = []

        def collect() -> None:
            request = requests[len(outputs) % len(requests)]
            request.wait()
            outputs.append(np.array(request.get_output_tensor(self._output).data))

        for number in range(len(x)):
            if number >= len(requests):
                collect()
            requests[number % len(requests)].start_async({0: x[number : number + 1]})
        while len(outputs) < len(x):
            collect()
        return as_features(self._path, np.concatenate(outputs), len(x))


def load(request: Request) -> OpenVinoExtractor:
    """Loads the network of a file or folder; see `OpenVinoExtractor`."""
    model = find_file(request.model, (".xml",), request.options.file, "features.options.file")
    assert request.input_spec is not None  # load_extractor has checked it
    return OpenVinoExtractor(model, request.input_spec, request.output, request.dim)


def _compile(model: Path, weights: Path, spec: InputSpec, output: str | None) -> tuple[Any, int]:
    """The compiled network at batch 1, and the number of its output."""
    try:
        import openvino
    except ImportError as error:
        raise MissingDependencyError(
            "features.extractor 'openvino' needs OpenVINO: pip install 'pose2id[openvino]'"
        ) from error
    if not weights.is_file():
        raise WeightsError(f"{model} needs its weights beside it, but there is no {weights}")
    core = openvino.Core()
    try:
        network = core.read_model(model, weights)
    except _OPENVINO_ERRORS as error:
        raise WeightsError(f"{model} is not a readable OpenVINO network: {error}") from error
    shapes = [
        [size.get_length() if size.is_static else None for size in tensor.partial_shape]
        for tensor in network.inputs
    ]
    check_input(model, shapes, spec)
    number = pick_output(model, [sorted(tensor.names) for tensor in network.outputs], output)
    try:
        network.reshape([1, 3, spec.height_px, spec.width_px])
        compiled = core.compile_model(
            network,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "f32",  # some CPUs would silently take bfloat16
                "NUM_STREAMS": str(n_cores()),
                "INFERENCE_NUM_THREADS": str(n_cores()),
            },
        )
    except _OPENVINO_ERRORS as error:
        raise WeightsError(f"{model} cannot run with one picture at a time: {error}") from error
    return compiled, number
