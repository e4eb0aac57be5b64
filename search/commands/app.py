"""The command line. Heavy packages are imported by the command that needs them, so that --help is
immediate; every mistake of a user ends in one sentence and exit code 2."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.commands.rooms import refuse_foreign_rooms

if TYPE_CHECKING:
    from rich.console import Console

    from search.plan import Plan

COMMANDS = ("search", "resume", "retry", "status", "report", "export", "flops", "doctor")
OPTIONS = ("--version", "--help", "--install-completion", "--show-completion")
INTERRUPTED = 130
_OF_THE_COMMAND = ("as_json", "dry_run")

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Find the Vision Transformers on the accuracy/FLOPs frontier of your images.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON line to stdout at the end.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, runs/<name>.")]


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
        app(prog_name="vit-frontier")
    except ValueError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # StorageError, or a full disk anywhere else
        print(f"Error: {error}", file=sys.stderr)
        if error.errno == errno.ENAMETOOLONG:
            sys.exit(2)
        sys.exit(INTERRUPTED if getattr(error, "interrupted", False) else 1)


@app.command()
def search(
    budget: Annotated[
        str, typer.Option(help="FLOPs of one image: 2M, 1.3G, or an architecture's name.")
    ],
    max_params: Annotated[str | None, typer.Option(help="Most parameters, such as 5M.")] = None,
    space: Annotated[
        str | None, typer.Option(help="A built-in space or a .toml file. [fits the images]")
    ] = None,
    data: Annotated[
        str, typer.Option(help="digits, an image folder, or a name timm.data knows.")
    ] = "digits",
    data_root: Annotated[
        str | None, typer.Option(help="Where a timm dataset lies or is downloaded to.")
    ] = None,
    img_size: Annotated[
        int | None,
        typer.Option(help="Pixels the images are resized to. [of --space FILE, or up to 64]"),
    ] = None,
    train_samples: Annotated[
        int | None, typer.Option(help="Most images to train on. [all]")
    ] = None,
    val_samples: Annotated[int | None, typer.Option(help="Most images to validate on.")] = None,
    trials: Annotated[int, typer.Option(help="Trainings, baselines included.")] = 24,
    time_limit: Annotated[
        str | None, typer.Option(help="Stop after 90s, 15m, 2h; the run can be resumed.")
    ] = None,
    proxy: Annotated[
        str,
        typer.Option(help="fast, balanced or faithful: a tenth, a fifth or all of the epochs."),
    ] = "faithful",
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of a training. [as --proxy says]")
    ] = None,
    sampler: Annotated[str, typer.Option(help="frontier, tpe, nsga2, gp or random.")] = "frontier",
    early_stopping: Annotated[
        bool, typer.Option(help="Stop trials expected to add next to nothing to the frontier.")
    ] = True,
    baselines: Annotated[
        bool, typer.Option(help="Train plain ViTs first, to compare with.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Same seed and one worker: the same records.")] = 0,
    workers: Annotated[str, typer.Option(help="Trials at a time, or auto.")] = "auto",
    cpus_per_trial: Annotated[float, typer.Option(help="CPU cores of one trial.")] = 1.0,
    gpus_per_trial: Annotated[
        float | None, typer.Option(help="GPUs of one trial; may be a fraction. [1 if there is one]")
    ] = None,
    cuda_graphs: Annotated[
        bool, typer.Option(help="Replay steps from CUDA graphs on GPUs; not measured on one yet.")
    ] = False,
    silence: Annotated[
        str, typer.Option(help="Kill a worker that reports nothing for that long.")
    ] = "30m",
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster: auto or host:port.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="An Optuna storage URL. [RUN/study.db]")
    ] = None,
    out: Annotated[str | None, typer.Option(help="The run folder. [runs/<data>-<budget>]")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and print what would run.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Search for the networks on the accuracy/FLOPs frontier."""
    asked = {name: value for name, value in locals().items() if name not in _OF_THE_COMMAND}
    from results.words import hide_password
    from search.plan import plan_search
    from search.terminal.messages import introduce

    console = _console(as_json)
    plan = plan_search(asked, console, claim=not dry_run)
    introduce(plan.settings, plan.dataset, plan.recipe, console)
    if not dry_run:
        _run(plan, console, as_json, command=["vit-frontier", *sys.argv[1:]])
    elif as_json:
        storage = plan.settings.storage
        shown = {**plan.settings.to_dict(), "storage": storage and hide_password(storage)}
        print(json.dumps({"settings": shown, "recipe": plan.recipe.to_dict()}))


def _run(plan: Plan, console: Console, as_json: bool, *, command: list[str] | None) -> None:
    """Runs or goes on with a search and ends the process with its exit code."""
    from search.plan import carry_out
    from search.terminal.messages import conclude, interrupted_text

    try:
        run, interrupted = carry_out(plan, console, command=command)
    except SystemExit:
        text = interrupted_text(plan.folder)
        console.print(text, markup=False, highlight=False, soft_wrap=True)
        raise
    conclude(run, console, interrupted=interrupted, as_json=as_json)
    if interrupted:
        sys.exit(INTERRUPTED)
    if run.stop_reason or not run.front:
        sys.exit(1)


@app.command()
def resume(
    run: RunFolder,
    trials: Annotated[int | None, typer.Option(help="Trainings in all. [as before]")] = None,
    time_limit: Annotated[str | None, typer.Option(help="Stop after 90s, 15m, 2h.")] = None,
    workers: Annotated[str | None, typer.Option(help="Trials at a time, or auto.")] = None,
    cpus_per_trial: Annotated[float | None, typer.Option(help="CPU cores of one trial.")] = None,
    gpus_per_trial: Annotated[float | None, typer.Option(help="GPUs of one trial.")] = None,
    address: Annotated[
        str | None, typer.Option(help="Another Ray cluster, or local: this machine alone.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Go on with a run that was interrupted, or that should have more trials."""
    changes = {name: value for name, value in locals().items() if name not in ("run", "as_json")}
    _resume(run, changes, as_json=as_json)


def _resume(run: Path, changes: dict[str, Any], *, as_json: bool) -> None:
    from search.plan import plan_resume, read_changes
    from search.terminal.messages import introduce

    console = _console(as_json)
    plan = plan_resume(run, read_changes(changes), console)
    introduce(plan.settings, plan.dataset, plan.recipe, console)
    _run(plan, console, as_json, command=None)


@app.command()
def retry(
    run: RunFolder,
    workers: Annotated[str | None, typer.Option(help="Trials at a time, or auto.")] = None,
    address: Annotated[str | None, typer.Option(help="Another Ray cluster.")] = None,
    as_json: Json = False,
) -> None:
    """Run the failed trials of a run again, then go on with it."""
    from search.driver import forget_failures
    from search.plan import read_changes

    changes = read_changes({"workers": workers, "address": address})
    count = forget_failures(run)
    _console(as_json).print(f"{count} failed trials will run again.")
    _resume(run, changes, as_json=as_json)


@app.command()
def status(run: RunFolder, as_json: Json = False) -> None:
    """Show how far a run is, and its frontier so far."""
    from results import load_run
    from results.words import format_count
    from search.terminal.display import front_table
    from search.terminal.messages import summary

    loaded = load_run(run)
    if as_json:
        print(json.dumps(summary(loaded)))
        return
    console = _console(False)
    counts = ", ".join(
        f"{loaded.count(state)} {state}" for state in ("complete", "stopped", "failed", "running")
    )
    console.print(
        f"{loaded.name}: {'finished' if loaded.finished else 'not finished'}, {counts}, "
        f"{loaded.over_budget} over the budget of {format_count(loaded.budget_flops)} FLOPs; "
        f"hypervolume {loaded.hypervolume:.4f}.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if loaded.stop_reason:
        console.print(f"Stopped: {loaded.stop_reason}", markup=False, soft_wrap=True)
    if loaded.ended_short:
        console.print(f"Ended after {loaded.ended_short}.", markup=False, soft_wrap=True)
    if loaded.front:
        console.print(front_table(loaded.front, rows=len(loaded.front)))


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
) -> None:
    """Write report.html, frontier.json, the tables and pictures of a run again."""
    from results import load_run, write_results
    from search.study.storage import writing

    for run in runs:
        with writing(run, "report"):
            written = write_results(load_run(run))
        for path in written:
            print(path)


@app.command()
def export(
    run: RunFolder,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", help="A member of the frontier.")],
    out: Annotated[
        Path | None, typer.Option(help="The folder to write. [RUN/models/TRIAL]")
    ] = None,
) -> None:
    """Write a network of the frontier, its weights and its preprocessing as a folder for timm."""
    from results import load_run, write_timm_folder

    folder = out or run / "models" / str(trial)
    try:
        write_timm_folder(load_run(run), trial, folder)
    except OSError as error:
        raise ValueError(
            f"`--out` (={str(folder)!r}) must be a folder that can be written: {error.strerror}."
        ) from None
    print(
        f"{folder}\n"
        f"Load it by: import timm, space.model; "
        f"timm.create_model({f'local-dir:{folder}'!r}, pretrained=True)"
    )


@app.command()
def flops(
    architecture: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="deit_tiny, ..., or an architecture's JSON.")
    ],
    as_json: Json = False,
) -> None:
    """Count the FLOPs and parameters of an architecture, exactly and without building it."""
    from results.words import format_count
    from space import count_flops, count_params

    network = _read_architecture(architecture)
    counts = {"flops": count_flops(network), "params": count_params(network)}
    if as_json:
        print(json.dumps({**counts, "architecture": network.to_dict()}))
        return
    print(f"{counts['flops']:,} FLOPs ({format_count(counts['flops'])}, multiply-accumulates)")
    print(f"{counts['params']:,} parameters ({format_count(counts['params'])})")
    print(f"tokens per block: {', '.join(str(count) for count in network.token_counts)}")


def _read_architecture(name_or_file: str) -> Any:
    """A named architecture, or one from a JSON file (also a member of a frontier.json)."""
    from space import NAMED, Architecture, named
    from space.files import read_small_file

    path = Path(name_or_file)
    if name_or_file in NAMED or not (path.suffix == ".json" or path.exists()):
        return named(name_or_file)
    try:
        values = json.loads(read_small_file(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name_or_file} must be an architecture as JSON: {error}") from None
    if isinstance(values, dict) and isinstance(values.get("model_args"), dict):
        values = values["model_args"]  # of a folder that `export` wrote
    if isinstance(values, dict) and isinstance(values.get("architecture"), dict):
        values = values["architecture"]
    try:
        return Architecture.from_dict(values)
    except ValueError as error:
        raise ValueError(f"{name_or_file}: {error}") from None


@app.command()
def doctor(
    data: Annotated[str | None, typer.Option(help="The data of the search to come.")] = None,
    address: Annotated[str | None, typer.Option(help="The Ray cluster to look at.")] = None,
) -> None:
    """Look at this machine, or at every node of a cluster, and say what to fix."""
    from search.cluster.doctor import examine

    findings = examine(address=address, data=data)
    for finding in findings:
        print(f"{'ok ' if finding.fix is None else 'FIX'} {finding.what}")
        if finding.fix is not None:
            print(f"    {finding.fix}")
    if any(finding.fix is not None for finding in findings):
        sys.exit(1)


def _console(as_json: bool) -> Console:
    """Where people read: stdout, or stderr when stdout carries JSON."""
    from rich.console import Console

    from search.terminal.messages import LastingStream

    return Console(file=LastingStream(sys.stderr if as_json else sys.stdout))  # type: ignore[arg-type]
