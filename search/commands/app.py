"""The command line. Heavy packages are imported by the command that needs them, so that --help is
immediate; every mistake of a user ends in one sentence and exit code 2."""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import Annotated

import typer

from search.commands.cache import cache
from search.commands.confirm import confirm
from search.commands.exits import INTERRUPTED
from search.commands.inspect import inspect
from search.commands.look import doctor, export, flops, report, status
from search.commands.profile import profile
from search.commands.rooms import refuse_foreign_rooms, refuse_no_docstrings
from search.commands.search import resume, retry, search
from search.commands.train import train

_COMMANDS = (
    search,
    resume,
    retry,
    confirm,
    status,
    report,
    export,
    inspect,
    train,
    flops,
    profile,
    doctor,
    cache,
)
COMMANDS = tuple(command.__name__ for command in _COMMANDS)
OPTIONS = ("--version", "--help", "--install-completion", "--show-completion")

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Find the Vision Transformers on the accuracy/FLOPs frontier of your images.",
)
for _command in _COMMANDS:
    app.command()(_command)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        try:
            print(f"vit-frontier {metadata.version('vit-frontier')}")
        except metadata.PackageNotFoundError:
            print("vit-frontier, from a checkout")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and end.", callback=_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Find the Vision Transformers on the accuracy/FLOPs frontier of your images."""


def main() -> None:
    """Runs the command line. Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        reconfigure = getattr(getattr(sys, name), "reconfigure", None)
        if reconfigure is not None:  # a terminal that is not UTF-8 ends nothing
            reconfigure(errors="backslashreplace")
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # typer would end with 1
        if kind != signal.SIGHUP or signal.getsignal(kind) != signal.SIG_IGN:  # nohup
            signal.signal(kind, lambda *_: sys.exit(INTERRUPTED))
    try:
        refuse_foreign_rooms()
        refuse_no_docstrings()
        app(prog_name="vit-frontier")
    except ValueError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # StorageError, or a full disk anywhere else
        print(f"Error: {error}", file=sys.stderr)
        if error.errno == errno.ENAMETOOLONG:
            sys.exit(2)
        sys.exit(INTERRUPTED if getattr(error, "interrupted", False) else 1)
