"""The default networks on a CPU, by runtime: time, ratio to eager torch, largest difference.

As the pipeline runs them: one thread a worker, as many workers as cores. `eager` is each network as
published, `ours` is what the pipeline runs. All runtimes of a network take turns in each round, and
the best round counts, in processor time, which other work on the machine disturbs least. What is
not installed is left out and named.

    python -m benchmarks.runtimes
    python -m benchmarks.runtimes --compile          also torch.compile (minutes; a C++ compiler)
    ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 python -m benchmarks.runtimes --rounds 3
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib.util
import io
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.measure import print_machine
from pose2id.extractors.efficientnet import INPUT_SPEC, load_network, shipped_weights
from pose2id.extractors.lite0 import FoldedLite0
from pose2id.generation.checkpoints import load_model
from pose2id.generation.cpu_linear import convolve_linears
from pose2id.generation.cpu_vae import quicken_vae
from pose2id.generation.model import IpgModel
from pose2id.generation.reference import ReferenceBanks, ReferenceRead
from pose2id.machine import compute_on_one_thread, n_cores
from pose2id.speed import keep_freed_memory

N_REFERENCES, N_POSES, DECODE_ROWS = 4, 8, 8
Call = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Network:
    """A network with its inputs; `graph` is the one that other runtimes are given."""

    name: str
    eager: nn.Module
    ours: nn.Module
    graph: nn.Module
    inputs: tuple[Tensor, ...]


class Method(nn.Module):
    """A method of a model as a network of its own, so that it can be traced."""

    def __init__(self, model: IpgModel, method: str) -> None:
        super().__init__()
        self.model, self.method = model, method

    def forward(self, *inputs: Tensor) -> Tensor:
        """Calls the method."""
        output: Tensor = getattr(self.model, self.method)(*inputs)
        return output


class Banks(nn.Module):
    """The reference UNet: the last of its banks depends on all of its layers but the last few."""

    def __init__(self, model: IpgModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, latents: Tensor, tokens: Tensor) -> Tensor:
        """`(R, *latent_shape)` and `(R, T, C)` -> the last bank."""
        return list(self.model.write_banks(latents, tokens).values())[-1]


class Denoiser(nn.Module):
    """The denoiser at the first step, its references' keys and values given as plain inputs."""

    def __init__(self, model: IpgModel, blocks: list[str]) -> None:
        super().__init__()
        self.model, self.blocks = model, blocks

    def forward(self, noisy: Tensor, tokens: Tensor, pose: Tensor, *banks: Tensor) -> Tensor:
        """One pass; the references in the order of the rows."""
        n = len(self.blocks)
        keys = dict(zip(self.blocks, banks[:n], strict=True))
        values = dict(zip(self.blocks, banks[n:], strict=True))
        index = torch.arange(N_REFERENCES).repeat_interleave(N_POSES)
        read = ReferenceRead(ReferenceBanks(keys, values), index)
        step = torch.tensor(999)
        output: Tensor = self.model.denoising_unet(noisy, step, tokens, read, pose)
        return output


def networks(folder: Path) -> Iterator[Network]:
    """The networks of a demo run, with inputs of the sizes that it gives them."""
    torch.manual_seed(0)
    height, width = INPUT_SPEC.height_px, INPUT_SPEC.width_px
    lite0 = load_network(shipped_weights())
    folded = FoldedLite0(lite0, height, width).eval()
    pictures = torch.randn(16, 3, height, width).to(memory_format=torch.channels_last)
    yield Network("default extractor", lite0, folded, folded, (pictures,))

    model = load_model(folder).model
    ours = copy.deepcopy(model)
    for part in (ours.reference_unet, ours.denoising_unet):
        convolve_linears(part)
    quicken_vae(ours.vae)
    config = model.config
    rows, channels = N_REFERENCES * N_POSES, config.unet.channels[0]
    persons = torch.randn(N_REFERENCES, 3, config.height_px, config.width_px)
    latents = torch.randn(rows, *config.latent_shape)
    tokens = torch.randn(rows, config.identity_tokens, config.unet.cross_attention_dim)
    pose = torch.randn(rows, channels, *config.latent_shape[1:])
    with torch.no_grad():
        banks = model.reference_banks(latents[:N_REFERENCES], tokens[:N_REFERENCES])

    def method(name: str, what: str, *inputs: Tensor) -> Network:
        eager = Method(model, what)
        return Network(name, eager, Method(ours, what), eager, inputs)

    yield method("identity network", "identity_features", persons)
    yield method("VAE, encode", "encode", persons)
    yield method("VAE, decode", "decode", latents[:DECODE_ROWS])
    references = (latents[:N_REFERENCES], tokens[:N_REFERENCES])
    yield Network("reference UNet", Banks(model), Banks(ours), Banks(model), references)
    blocks = list(banks.keys)
    read = (latents, tokens, pose, *banks.keys.values(), *banks.values.values())
    eager = Denoiser(model, blocks)
    yield Network("denoising UNet", eager, Denoiser(ours, blocks), eager, read)


def by_torch(network: nn.Module, inputs: tuple[Tensor, ...]) -> Call:
    """A torch network."""

    def call() -> np.ndarray:
        with torch.inference_mode():
            output: np.ndarray = network(*inputs).numpy()
        return output

    return call


def by_torchscript(network: nn.Module, inputs: tuple[Tensor, ...]) -> Call:
    """Traced, frozen, and what torch.jit has for inference."""
    traced = torch.jit.freeze(torch.jit.trace(network, inputs, check_trace=False))
    return by_torch(torch.jit.optimize_for_inference(traced), inputs)


def by_compile(network: nn.Module, inputs: tuple[Tensor, ...]) -> Call:
    """Translated by torch.compile."""
    return by_torch(torch.compile(copy.deepcopy(network), dynamic=False), inputs)


def by_onnxruntime(network: nn.Module, inputs: tuple[Tensor, ...]) -> Call:
    """Exported to ONNX, run by ONNX Runtime on the calling thread."""
    import onnxruntime

    names = [f"input{number}" for number in range(len(inputs))]
    exported = io.BytesIO()
    torch.onnx.export(network, inputs, exported, input_names=names, opset_version=17, dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        exported.getvalue(), options, providers=["CPUExecutionProvider"]
    )
    known = {given.name for given in session.get_inputs()}  # an input may be folded away
    given = {name: x.numpy() for name, x in zip(names, inputs, strict=True) if name in known}

    def call() -> np.ndarray:
        output: np.ndarray = session.run(None, given)[0]
        return output

    return call


def by_openvino(network: nn.Module, inputs: tuple[Tensor, ...]) -> Call:
    """Converted to OpenVINO, a stream of one thread for each worker."""
    import openvino

    converted = openvino.convert_model(network, example_input=inputs)
    for parameter, x in zip(converted.inputs, inputs, strict=True):
        parameter.get_node().set_partial_shape(openvino.PartialShape(list(x.shape)))
    converted.validate_nodes_and_infer_types()
    streams = {"NUM_STREAMS": str(n_cores()), "INFERENCE_NUM_THREADS": str(n_cores())}
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(converted, "CPU", {**streams, **exact})
    given = {number: x.contiguous().numpy() for number, x in enumerate(inputs)}

    def call() -> np.ndarray:
        output: np.ndarray = compiled.create_infer_request().infer(given)[0].copy()
        return output

    return call


def calls(network: Network, compiled: bool) -> dict[str, Call]:
    """Every runtime that is there and takes the network; the others are named."""
    inputs = network.inputs
    last = tuple(
        x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for x in inputs
    )
    found = {"eager": by_torch(network.eager, inputs), "ours": by_torch(network.ours, inputs)}
    turned = copy.deepcopy(network.eager).to(memory_format=torch.channels_last)
    found["channels last"] = by_torch(turned, last)
    graphs: dict[str, tuple[str, Callable[[nn.Module, tuple[Tensor, ...]], Call]]] = {
        "torch.jit": ("torch", by_torchscript),
        "ONNX Runtime": ("onnxruntime", by_onnxruntime),
        "OpenVINO": ("openvino", by_openvino),
    }
    if compiled:
        graphs["torch.compile"] = ("torch", by_compile)
    for name, (package, build) in graphs.items():
        if importlib.util.find_spec(package) is None:
            print(f"# {name}: {package} is not installed", flush=True)
            continue
        try:
            with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
                call = build(network.graph.eval(), inputs)
                call()
        except Exception as error:  # noqa: BLE001 - each runtime fails in its own way
            print(f"# {name} does not take {network.name}: {str(error)[:120]!r}", flush=True)
            continue
        found[name] = call
    return found


def compare(network: Network, rounds: int, workers: int, compiled: bool) -> None:
    """Prints a line per runtime."""
    found = calls(network, compiled)
    rows = workers * len(network.inputs[0])
    best: dict[str, tuple[float, float]] = {}
    with ThreadPoolExecutor(workers, initializer=compute_on_one_thread) as pool:
        for turn in range(rounds + 1):
            for name, call in found.items():
                wall, cpu = time.perf_counter(), time.process_time()
                done: list[Any] = [pool.submit(call) for _ in range(workers)]
                outputs = [future.result() for future in done]
                spent = time.process_time() - cpu, time.perf_counter() - wall
                if turn == 0:  # warms up
                    best[name] = spent
                    continue
                earlier = best[name] if turn > 1 else spent
                best[name] = (min(earlier[0], spent[0]), min(earlier[1], spent[1]))
                if not (outputs[0] == outputs[-1]).all():
                    print(f"# {name}: two workers gave different bytes")
    reference = found["eager"]()
    for name, (cpu, wall) in best.items():
        difference = np.abs(found[name]() - reference).max() / np.abs(reference).max()
        print(
            f"{network.name:20}{name:16}{1e3 * cpu / rows:10.2f}{best['eager'][0] / cpu:9.2f}x"
            f"{rows / wall:12.0f}{difference:12.1e}",
            flush=True,
        )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("models/ipg-small"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--workers", type=int, default=n_cores())
    parser.add_argument("--compile", action="store_true", help="torch.compile, too")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    compute_on_one_thread()
    keep_freed_memory()
    print_machine()
    print(f"# {torch.backends.cpu.get_cpu_capability()}, {arguments.workers} worker(s)")
    columns = f"{'ms a row':>10}{'ratio':>10}{'rows/s':>12}{'difference':>12}"
    print(f"{'network':20}{'runtime':16}{columns}")
    for network in networks(arguments.model):
        compare(network, arguments.rounds, arguments.workers, arguments.compile)


if __name__ == "__main__":
    main()
