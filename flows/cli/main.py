"""The command `pose2id`: options that all commands share, and commands imported when called.

`--help` of the whole and of every command loads nothing but typer and writes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from flows.cli.commands import COMMANDS, SECTIONS, summary
from flows.cli.console import EXIT_CODES, friendly_errors
from flows.cli.project import enter
from flows.process.environment import prepare

if TYPE_CHECKING:
    from typer._click import Command, Context, HelpFormatter, Parameter

PARAMS = "params"


class LazyCommand(TyperCommand):
    """Stands for a command until it is called or completed; then its module is imported."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: Context | None = None,
        **extra: Any,  # noqa: ANN401 - whatever a context takes
    ) -> Context:
        """The context of the command itself, with the root's `--params` as its default."""
        command = _plain(get_command(import_module(f"flows.cli.{self.name}").app))
        params = parent.meta.get(PARAMS) if parent else None
        if params is not None:
            if PARAMS not in {parameter.name for parameter in command.params}:
                raise typer.BadParameter(
                    f"{self.name} takes none; as DVC does, it reads params.yaml of the project",
                    param_hint="'--params'",
                )
            extra["default_map"] = {PARAMS: str(params)}
        return command.make_context(info_name, args, parent, **extra)


def _plain(command: Command) -> Command:
    """A command as one of several: completion is installed once, for all of them.

    Help and errors are plain text: loading rich would take as long as all the rest.
    """
    command.params = [one for one in command.params if not str(one.name).endswith("_completion")]
    for each in (command, *getattr(command, "commands", {}).values()):
        each.rich_markup_mode = None
    return command


class RootOption(TyperOption):
    """An option that costs nothing where it is absent: typer loads pydantic to check any value."""

    def process_value(self, ctx: Context, value: object) -> object:
        """The checked value; nothing is checked if there is none."""
        return None if value is None else super().process_value(ctx, value)


class CommandList(TyperGroup):
    """The commands of flows/cli/commands.py."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        """The options before the command."""
        options = super().get_params(ctx)
        for option in options:
            option.__class__ = RootOption
        return options

    def invoke(self, ctx: Context) -> object:
        """Runs the command that was named; what goes wrong is said in one style."""
        with friendly_errors():
            return super().invoke(ctx)

    def list_commands(self, ctx: Context) -> list[str]:
        """Their names, for help and completion."""
        return COMMANDS

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """What stands for a command; `None` if there is none of the name."""
        if cmd_name not in COMMANDS:
            return None
        hidden = cmd_name in SECTIONS["Hidden"]
        return LazyCommand(cmd_name, help=summary(cmd_name), hidden=hidden, add_help_option=False)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Writes the commands, section by section."""
        for section, names in SECTIONS.items():
            if section != "Hidden":
                with formatter.section(section):
                    formatter.write_dl([(name, summary(name)) for name in names])


app = typer.Typer(
    cls=CommandList,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    epilog=f"\b\nExit codes\n{EXIT_CODES}",
    context_settings={"help_option_names": ["--help", "-h"]},
)


@app.callback()
def root_options(
    context: typer.Context,
    root: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            metavar="FOLDER",
            help="The project's folder. Default: this one, from which paths that you give count.",
        ),
    ] = None,
    params: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            resolve_path=True,
            metavar="FILE",
            help="The parameters. Default: params.yaml in the project's folder.",
        ),
    ] = None,
) -> None:
    """Training-free gains for person re-identification, as a pipeline.

    Every command has its own --help.
    """
    context.meta[PARAMS] = params
    if root is not None:
        enter(context, root)
    prepare()


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command.

    Args:
        arguments: In place of those of this process.
    """
    app(args=arguments, prog_name="pose2id")


def run_alias(name: str, old: str = "") -> None:
    """Runs a command that was called by its name of the release before.

    Args:
        name: The command.
        old: What follows `python -m flows.`, where it is another name.
    """
    sys.stderr.write(f"`python -m flows.{old or name}` is now `pose2id {name}`\n")
    main([name, *sys.argv[1:]])
