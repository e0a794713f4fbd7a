"""Looks at a feature network before hours are spent on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.project import PARAMS_FILE, Params

app = typer.Typer()
BY_SUFFIX = {".onnx": "onnx", ".xml": "openvino"}
UNUSABLE_EXIT_CODE = 1


@app.command()
def main(
    model: Annotated[
        Path | None, typer.Argument(help="The network; by default features.model.")
    ] = None,
    extractor: Annotated[
        str, typer.Option(help="Its kind, as features.extractor; told by the file's ending.")
    ] = "",
    input: Annotated[
        str, typer.Option(help="As features.input: '{height_px: 256, width_px: 128, ...}'.")
    ] = "",
    options: Annotated[str, typer.Option(help="As features.options: '{variant: x0_25}'.")] = "",
    params: Params = PARAMS_FILE,
) -> None:
    """Says whether a feature network can be used, and ends with 1 if it cannot."""
    from flows.cli.console import show_note, show_table
    from pose2id.errors import WeightsError
    from pose2id.extractors.doctor import Finding, unusable
    from tasks.stages.features import open_extractor
    from tasks.studies.doctor import examine_project
    from tasks.tables.params import load_params, with_features

    changes: dict[str, Any] = {}
    if model is not None:
        changes["model"] = str(model)
        if model.suffix.lower() in BY_SUFFIX:
            changes["extractor"] = BY_SUFFIX[model.suffix.lower()]
    if extractor:
        changes["extractor"] = extractor
    for key, text in (("input", input), ("options", options)):
        if text:
            changes[key] = _mapping(key, text)
    parameters = with_features(load_params(params), changes)
    features = parameters.features
    show_note(f"{features.extractor} {features.model}")
    try:
        network = open_extractor(features, str(Path()), parameters.runtime.device)
        findings = examine_project(parameters, Path(), network)
    except WeightsError as error:
        findings = [Finding("loading", str(error), "unusable")]
    rows = [(item.check, item.found, item.verdict, item.advice) for item in findings]
    show_table(("check", "found", "verdict", "what to do"), rows)
    if unusable(findings):
        raise typer.Exit(UNUSABLE_EXIT_CODE)


def _mapping(key: str, text: str) -> dict[str, Any]:
    import yaml

    from pose2id.errors import ParamsError

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ParamsError(f"--{key} is not YAML: {error}") from error
    if not isinstance(value, dict):
        raise ParamsError(f"--{key} is {text!r}; a mapping such as '{{height_px: 256}}' is needed")
    return value
