"""The `inpaint` command: its subcommands, and how errors end it."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import Abort, Exit, TyperException

from inpaintcli import __version__
from inpaintcli.cli.bench import bench
from inpaintcli.cli.damage import damage
from inpaintcli.cli.detect import detect
from inpaintcli.cli.models import models
from inpaintcli.cli.restore import restore
from inpaintcli.cli.score import score
from inpaintcli.errors import ExitCode, InpaintError
from inpaintcli.report import shown

app = typer.Typer(
    name="inpaint",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (restore, detect, damage, score, bench, models):
    app.command()(command)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"inpaint {__version__}")
        raise typer.Exit


@app.callback()
def inpaint(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Restore damaged photographs, offline; undamaged pixels stay as they are.

    Exit codes: 0 all done; 1 at least one photo failed, the rest is done; 2 a wrong call, known
    before any work; 3 the model or the device cannot be used; 130 interrupted.
    """


def run(arguments: list[str] | None = None) -> int:
    """Run the command with `arguments` (those of the process by default); returns its exit code."""
    command = typer.main.get_command(app)
    try:
        result = command.main(arguments, prog_name="inpaint", standalone_mode=False)
        return result if isinstance(result, int) else ExitCode.DONE
    except Exit as stop:
        return stop.exit_code
    except InpaintError as error:
        return _told(str(error), error.exit_code)
    except (KeyboardInterrupt, Abort):
        return _told("interrupted", ExitCode.INTERRUPTED)
    except OSError as error:
        name = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        return _told(f"{name}{(error.strerror or str(error)).lower()}", ExitCode.USAGE)
    except TyperException as error:
        text = _plain(error)
        if text:
            context = getattr(error, "ctx", None)
            name = context.command_path if context else "inpaint"
            return _told(f"{text.rstrip('.')}: see {name} --help", ExitCode.USAGE)
        return ExitCode.USAGE


def _plain(error: TyperException) -> str:
    """What is wrong with an option, in our words where the library's are those of programmers."""
    option = max(getattr(getattr(error, "param", None), "opts", ()), key=len, default="")
    why: str = getattr(error, "message", "")
    if not (option.startswith("-") and why):
        return error.format_message()
    problems: list[Any] = getattr(error.__cause__ or error.__context__, "errors", list)()
    if not problems:
        return f"{option}: {why}"
    context, given = problems[0].get("ctx", {}), problems[0].get("input")
    match problems[0]["type"]:
        case "int_parsing" | "int_from_float" | "int_type":
            return f"{option} {given}: give a whole number"
        case "float_parsing" | "float_type":
            return f"{option} {given}: give a number"
        case "greater_than_equal":
            return f"{option} {given}: must be at least {context['ge']}"
        case "less_than_equal":
            return f"{option} {given}: must be at most {context['le']}"
    return f"{option}: {why.removeprefix('Value error, ')}"


def _told(text: str, code: ExitCode) -> int:
    print(f"inpaint: {shown(text)}", file=sys.stderr)
    return code


def main() -> None:
    """Entry point of the `inpaint` script and of `python -m inpaintcli`."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # Whoever closed it wants to hear nothing.
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's encoding lacks must not end a run.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run())
