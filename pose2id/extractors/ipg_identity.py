"""The generator's own identity network as a feature network."""

from __future__ import annotations

from pose2id.errors import ParamsError, WeightsError
from pose2id.extractors.base import InputSpec, Request
from pose2id.extractors.network import TorchExtractor
from pose2id.extractors.transreid import HALF


def load(request: Request) -> TorchExtractor:
    """Loads the identity network of a generator's folder, such as `models/ipg-small`.

    Raises:
        WeightsError: The folder holds no generator, or a damaged one.
        ParamsError: Another input is declared than the network's own.
    """
    from pose2id.generation.checkpoints import CONFIG_FILE, load_part
    from pose2id.generation.identity_net import IdentityNet

    network, _ = load_part(request.model, "identity", device=request.device)
    if not isinstance(network, IdentityNet):
        raise WeightsError(f"{request.model} has no identity network of the kind that is known")
    spec = InputSpec(network.config.height_px, network.config.width_px, mean=HALF, std=HALF)
    if request.input_spec not in (None, spec):
        raise ParamsError(
            f"the identity network of {request.model} wants {spec}, features.input declares "
            f"{request.input_spec}; leave features.input out"
        )
    files = (request.model / CONFIG_FILE, request.model / "identity.safetensors")
    return TorchExtractor.of_checkpoint(request, network, spec, files)
