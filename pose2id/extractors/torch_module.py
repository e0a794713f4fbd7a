"""Any torch network: code that builds it and a state dict, or a program that holds both.

A state dict is read without running anything. The code that `module` names is run, as any Python
that a project names is. TorchScript files and `.pt2` programs bring code of their own along and
are opened only where `features.options.trusted` says so.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import torch
from torch import nn

from pose2id.errors import ParamsError, WeightsError
from pose2id.extractors.base import Request
from pose2id.extractors.families import TorchOptions
from pose2id.extractors.network import TorchExtractor
from pose2id.extractors.preprocess import fingerprint
from pose2id.extractors.weights import STATE_SUFFIXES, drop_keys, find_file, read_state
from pose2id.generation.state_dicts import check_state

PROGRAM_SUFFIXES: Final = (".pt2", ".ts", ".torchscript")


def load(request: Request) -> TorchExtractor:
    """Loads a network from code and weights, from TorchScript, or from a `.pt2` program.

    Raises:
        WeightsError: The code fails or gives no network, or the weights do not fit.
        ParamsError: Options contradict each other, or a file that can run code is not trusted.
    """
    options: TorchOptions = request.options
    spec = request.input_spec
    assert spec is not None  # load_extractor has checked it
    path = find_file(
        request.model,
        (*STATE_SUFFIXES, *PROGRAM_SUFFIXES),
        options.weights,
        "features.options.weights",
    )
    if options.module:
        network, code = from_code(request.model, options, path)
    else:
        network, code = open_program(path, options), ()
    files = (path, *code)
    return TorchExtractor(
        network,
        name=f"torch:{options.module or path.stem}",
        fingerprint=fingerprint(
            files, spec, network=request.name, options=repr(options), output=request.output or ""
        ),
        input_spec=spec,
        files=files,
        dim=request.dim,
        device=request.device,
        pick=picker(request.output),
    )


def from_code(
    model: Path, options: TorchOptions, weights: Path
) -> tuple[nn.Module, tuple[Path, ...]]:
    """Builds the network that `module` names and fills it strictly.

    Args:
        model: `features.model`; `file.py` is looked for in this folder.
        options: As given.
        weights: The state dict.

    Returns:
        The network in evaluation mode, and the Python files of its folder.

    Raises:
        WeightsError: The code fails or gives no network, or the weights do not fit.
        ParamsError: `module` is malformed or names nothing that is there.
    """
    place, separator, function = options.module.rpartition(":")
    if not separator or not function.isidentifier() or not place:
        raise ParamsError(
            f"features.options.module is {options.module!r}; file.py:function or "
            "package.module:function is needed"
        )
    code: tuple[Path, ...] = ()
    if place.endswith(".py"):
        if not model.is_dir():
            raise ParamsError(
                f"features.options.module names the file {place}, so features.model must be the "
                f"folder that holds it and the weights; it is {model}"
            )
        file = model / place
        if not file.is_file() or model.resolve() not in file.resolve().parents:
            raise ParamsError(f"there is no {place} in {model}; features.options.module names it")
        code = tuple(sorted(model.rglob("*.py")))
        module = _run(options.module, lambda: _import_file(file))
    else:
        module = _run(options.module, lambda: importlib.import_module(place))
    factory = getattr(module, function, None)
    if not callable(factory):
        raise ParamsError(f"{place} has no function {function}; features.options.module names it")
    network = _run(options.module, factory)
    if not isinstance(network, nn.Module):
        raise WeightsError(
            f"{options.module} returned a {type(network).__name__}; it must return the network, a "
            "torch.nn.Module"
        )
    droppable = [part.strip().replace(".", r"\.") for part in options.drop.split(",")]
    state = drop_keys(read_state(weights, strip=options.strip), filter(None, droppable))
    check_state(network, state, str(weights))
    network.load_state_dict(state)
    return network.float().eval().requires_grad_(False), code


def _run(name: str, action: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the code gives
    """Runs the user's own code, whose failures are shown as errors of the weights."""
    try:
        return action()
    except Exception as error:
        raise WeightsError(
            f"features.options.module {name} failed with {type(error).__name__}: "
            f"{str(error)[:500]}. Try it alone: python -c 'import ...'"
        ) from error


def _import_file(file: Path) -> ModuleType:
    """Runs a Python file as a module; its neighbours can be imported from it."""
    spec = importlib.util.spec_from_file_location(f"pose2id_network_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    with _importable(file.parent):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def open_program(path: Path, options: TorchOptions) -> nn.Module:
    """Opens a file that holds the network itself.

    Raises:
        ParamsError: The file is a state dict and needs `module`, or can run code and is not
            trusted.
        WeightsError: It cannot be opened.
    """
    exported = path.suffix.lower() == ".pt2"
    if not exported and not is_torchscript(path):
        raise ParamsError(
            f"{path} is a state dict, weights without a network; name the code that builds it with "
            "features.options.module: file.py:function"
        )
    if not options.trusted:
        kind = "a .pt2 program" if exported else "TorchScript"
        raise ParamsError(
            f"{path} is {kind}: a program, which can do more than compute when it is opened. If "
            "you know where it is from, set features.options.trusted to true; a state dict with "
            "features.options.module, or ONNX, needs no trust"
        )
    try:
        if exported:
            return torch.export.load(path).module()
        load_script: Callable[..., nn.Module] = torch.jit.load
        script = load_script(str(path), map_location="cpu")
    except Exception as error:
        raise WeightsError(f"{path} cannot be opened: {str(error)[:300]}") from error
    return script.eval()


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive: a zip with code inside."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def picker(output: str | None) -> Callable[[Any], Any]:
    """How the feature is taken out of what a network returns.

    Args:
        output: None: it is the feature. A number: its place in a tuple. Else: its key.

    Returns:
        The function.

    Example:
        >>> picker("1")(("logits", "feature"))
        'feature'
    """

    def pick(returned: Any) -> Any:  # noqa: ANN401 - whatever the network returns
        if output is None:
            return returned
        try:
            if isinstance(returned, Mapping):
                return returned[output]
            if isinstance(returned, (tuple, list)):
                return returned[int(output)]
        except (KeyError, IndexError, ValueError):
            pass
        has = list(returned) if isinstance(returned, Mapping) else type(returned).__name__
        raise WeightsError(f"features.output is {output!r}, but the network returns {has}")

    return pick
