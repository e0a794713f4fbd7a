"""Any torch network: code and weights, programs, libraries, and everything that can be wrong."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from pose2id.errors import MissingDependencyError, ParamsError, WeightsError
from pose2id.extractors.base import InputSpec
from pose2id.extractors.consistency import check_consistency, probe_pictures
from pose2id.extractors.registry import load_extractor

SPEC = InputSpec(16, 8)
CODE = """
import torch
from torch import nn
from sizes import DIM

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, DIM)
    def forward(self, x):
        return self.fc(x.mean(dim=(2, 3)))

def build():
    return Net()

def raises():
    raise KeyError("no such backbone")

def not_a_network():
    return {"fc": 1}

class FourD(Net):
    def forward(self, x):
        return x

class Tuple(Net):
    def forward(self, x):
        return x, super().forward(x)

class Broken(Net):
    def forward(self, x):
        return x @ x

class Training(Net):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(DIM, track_running_stats=False)
    def forward(self, x):
        return self.norm(super().forward(x).repeat(2, 1))[: len(x)]
"""


class Mean(nn.Module):
    """The same network, for programs."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.mean(dim=(2, 3)))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "network.py").write_text(CODE)
    (tmp_path / "sizes.py").write_text("DIM = 4\n")
    state = {"module.fc.weight": torch.arange(12.0).view(4, 3), "module.fc.bias": torch.zeros(4)}
    torch.save({"state_dict": {**state, "module.head.weight": torch.zeros(2)}}, tmp_path / "w.pth")
    return tmp_path


def load(folder, function="build", output=None, **options):
    options = {"module": f"network.py:{function}", "drop": "head.", **options}
    return load_extractor("torch", folder, input=SPEC, options=options, device="cpu", output=output)


def test_code_and_weights_make_an_extractor(folder):
    extractor = load(folder)
    pictures = probe_pictures(SPEC)
    expected = (pictures / 255).mean(axis=(1, 2)) @ np.arange(12).reshape(4, 3).T
    assert np.allclose(extractor(pictures), expected, atol=1e-4)
    assert {path.name for path in extractor.files} == {"network.py", "sizes.py", "w.pth"}
    check_consistency(extractor, 32)
    before = extractor.fingerprint
    (folder / "sizes.py").write_text("DIM = 4  # changed\n")
    assert load(folder).fingerprint != before


def test_a_function_of_an_installed_package(folder, monkeypatch):
    module = types.ModuleType("somebodys_networks")
    module.build = Mean
    monkeypatch.setitem(sys.modules, "somebodys_networks", module)
    options = {"module": "somebodys_networks:build", "drop": "head."}
    extractor = load_extractor("torch", folder / "w.pth", input=SPEC, options=options)
    assert extractor.dim == 4
    assert [path.name for path in extractor.files] == ["w.pth"]


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        ("raises", WeightsError, r"network\.py:raises failed with KeyError: 'no such backbone'"),
        ("not_a_network", WeightsError, r"returned a dict; it must return the network"),
        ("FourD", WeightsError, r"output of shape \(1, 3, 16, 8\) for 1 pictures"),
        ("Tuple", WeightsError, r"returns a tuple.*features\.output"),
        ("Broken", WeightsError, r"failed on pictures of shape \(1, 3, 16, 8\)"),
        ("missing", ParamsError, r"network\.py has no function missing"),
        ("DIM", ParamsError, r"has no function DIM"),
        ("a b", ParamsError, r"file\.py:function or package\.module:function is needed"),
    ],
)
def test_code_that_cannot_be_used(folder, function, error, message):
    with pytest.raises(error, match=message):
        load(folder, function)


def test_files_that_cannot_be_used(folder):
    with pytest.raises(WeightsError, match=r"unexpected keys head\.weight"):
        load(folder, drop="")
    with pytest.raises(WeightsError, match=r"missing keys fc\.bias, fc\.weight"):
        load(folder, drop="fc.,head.")
    with pytest.raises(WeightsError, match=r"strip is 'encoder\.', but 3 keys.*fc\.bias"):
        load(folder, strip="encoder.")
    (folder / "bad.py").write_text("def")
    (folder.parent / "outside.py").write_text(CODE)
    with pytest.raises(WeightsError, match="failed with SyntaxError"):
        load(folder, module="bad.py:build")
    with pytest.raises(ParamsError, match=r"no \.\./outside\.py in"):
        load(folder, module="../outside.py:build")
    with pytest.raises(WeightsError, match=r"failed with ModuleNotFoundError"):
        load(folder, module="no_such_package.networks:build")
    with pytest.raises(ParamsError, match=r"must be the folder that holds it"):
        load(folder / "w.pth")
    with pytest.raises(ParamsError, match=r"module: file\.py:function"):
        load(folder, module="")


def test_output_is_taken_out_of_tuples(folder):
    assert load(folder, "Tuple", output="1").dim == 4
    for output in ("7", "feature"):
        with pytest.raises(WeightsError, match=rf"'{output}', but the network returns tuple"):
            load(folder, "Tuple", output=output)


def test_a_network_whose_rows_influence_each_other_is_refused(folder):
    extractor = load(folder, "Training", drop="head.") if _add_norm(folder) else None
    with pytest.raises(WeightsError, match=r"depends on the other pictures.*network\.eval\(\)"):
        check_consistency(extractor, 32)
    check_nothing = load(folder, "Training")
    assert check_nothing.dim == 4


def _add_norm(folder):
    state = torch.load(folder / "w.pth", weights_only=True)["state_dict"]
    state |= {"module.norm.weight": torch.ones(4), "module.norm.bias": torch.ones(4)}
    torch.save(state, folder / "w.pth")
    return True


@pytest.mark.parametrize("kind", ["script", "pt2"])
def test_programs_are_opened_only_where_trusted(tmp_path, kind):
    network = Mean().eval()
    path = tmp_path / ("net.pt" if kind == "script" else "net.pt2")
    if kind == "script":
        torch.jit.save(torch.jit.trace(network, torch.zeros(2, 3, 16, 8)), path)
    else:
        shapes = ({0: torch.export.Dim("batch", min=1, max=64)},)
        program = torch.export.export(network, (torch.zeros(2, 3, 16, 8),), dynamic_shapes=shapes)
        torch.export.save(program, path)
    with pytest.raises(ParamsError, match=r"features\.options\.trusted to true"):
        load_extractor("torch", path, input=SPEC)
    extractor = load_extractor("torch", path, input=SPEC, options={"trusted": True}, device="cpu")
    assert extractor.dim == 4
    check_consistency(extractor, 8)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises((WeightsError, ParamsError)):
        load_extractor("torch", path, input=SPEC, options={"trusted": True})


def test_a_program_frozen_at_one_picture_is_found_at_load(tmp_path):
    program = torch.export.export(Mean().eval(), (torch.zeros(1, 3, 16, 8),))
    torch.export.save(program, tmp_path / "one.pt2")
    extractor = load_extractor(
        "torch", tmp_path, input=SPEC, options={"trusted": True}, device="cpu"
    )
    check_consistency(extractor, 1)
    with pytest.raises(WeightsError, match=r"frozen.*features\.batch_size to 1"):
        check_consistency(extractor, 32)


# --- timm and torchvision


class Classifier(nn.Module):
    """As a library would build it, with a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.default_cfg = {"classifier": "head"}
        self.body = nn.Linear(3, 4)
        self.head = nn.Linear(4, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x.mean(dim=(2, 3))))


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_networks_of_libraries_take_local_weights(folder, monkeypatch, library):
    asked = []
    module = types.ModuleType(library)

    def create_model(name, **options):
        asked.append((name, options))
        if name == "nothing":
            raise RuntimeError("Unknown model (nothing)")
        network = Classifier()
        if "num_classes" in options:
            network.head = nn.Identity()
        return network

    def get_model(name, **options):
        if name == "nothing":
            raise ValueError("Unknown model nothing")
        return create_model(name, **options)

    module.create_model = create_model
    module.models = types.SimpleNamespace(get_model=get_model)
    monkeypatch.setitem(sys.modules, library, module)
    torch.save(Classifier().state_dict(), folder / "w.pth")
    extractor = load_extractor(f"{library}:resnet", folder / "w.pth", input=SPEC, device="cpu")
    assert extractor.dim == 4
    assert asked[0][0] == "resnet"
    assert asked[0][1].get("pretrained", asked[0][1].get("weights")) in (False, None)
    with pytest.raises(ParamsError, match=f"{library} has no network 'nothing'"):
        load_extractor(f"{library}:nothing", folder / "w.pth", input=SPEC)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_missing_library_says_how_to_install_it(folder, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match=rf"needs {library} for torch.*pip install"):
        load_extractor(f"{library}:resnet50", folder / "w.pth", input=SPEC)


# --- names, options and inputs


def test_options_are_checked_before_anything_is_loaded():
    with pytest.raises(ParamsError, match=r"options\.width of the extractor 'osnet' is unknown"):
        load_extractor("osnet", "w.pth", options={"width": 1})
    with pytest.raises(ParamsError, match=r"variant.*'x2'; allowed: x0_25, x0_5"):
        load_extractor("osnet", "w.pth", options={"variant": "x2"})
    with pytest.raises(ParamsError, match=r"cameras.*is True; a value of type int"):
        load_extractor("transreid", "w.pth", options={"cameras": True})
    with pytest.raises(ParamsError, match=r"cameras.*is -1; 0 to"):
        load_extractor("transreid", "w.pth", options={"cameras": -1})
    with pytest.raises(ParamsError, match=r"no extractor 'timm:\.\./x'.*timm:<name>"):
        load_extractor("timm:../x", "w.pth")
    with pytest.raises(ParamsError, match=r"needs features\.input"):
        load_extractor("timm:resnet50", "w.pth")
    with pytest.raises(ParamsError, match=r"needs features\.model"):
        load_extractor("osnet")
    with pytest.raises(ParamsError, match="there is no network that a picture"):
        load_extractor("precomputed", "folder")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"std": (0.0, 1.0, 1.0)}, r"std is \(0\.0, 1\.0, 1\.0\)"),
        ({"std": (float("nan"), 1.0, 1.0)}, "std is"),
        ({"mean": (float("inf"), 1.0, 1.0)}, "mean is"),
        ({"max_value": 0.0}, r"max_value is 0\.0"),
        ({"height_px": 1_000_000}, "height_px is 1000000; 1 to 8192"),
        ({"width_px": 0}, "width_px is 0"),
    ],
)
def test_inputs_that_no_network_can_want(changes, message):
    with pytest.raises(ParamsError, match=message):
        InputSpec(**{"height_px": 16, "width_px": 8, **changes})
