"""The commands that train nothing: status, report, export, flops, doctor."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from search.commands import options as o
from search.commands.exits import console_of


def status(run: o.RunFolder, as_json: o.Json = False) -> None:
    """Show how far a run is, and its frontier so far."""
    from results import load_run
    from results.words import counted, foreign_text, format_count
    from search.terminal.confirming import show_confirmed
    from search.terminal.display import front_table
    from search.terminal.messages import readings_text, summary

    loaded = load_run(run)
    if as_json:
        print(json.dumps(summary(loaded)))
        return
    console = console_of(False)
    counts = ", ".join(
        f"{loaded.count(state)} {state}" for state in ("complete", "stopped", "failed", "running")
    )
    console.print(
        f"{loaded.name}: {'finished' if loaded.finished else 'not finished'}, {loaded.trained} of "
        f"{counted(loaded.trials_asked, 'trial')}: {counts}, "
        f"{loaded.over_budget} over the budget of {format_count(loaded.budget_flops)} FLOPs; "
        f"hypervolume {loaded.hypervolume:.4f}.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if loaded.foreign:
        console.print(foreign_text(loaded.foreign), markup=False, soft_wrap=True)
    if loaded.stop_reason:
        console.print(f"Stopped: {loaded.stop_reason}", markup=False, soft_wrap=True)
    if loaded.ended_short:
        console.print(f"Ended after {loaded.ended_short}.", markup=False, soft_wrap=True)
    if len(loaded.test_readings) > 1:
        console.print(readings_text(loaded), markup=False, soft_wrap=True)
    if loaded.front:
        rows = len(loaded.front)
        console.print(front_table(loaded.front, rows, loaded.unconfirmed, width=console.width))
    show_confirmed(loaded, console)


def report(
    runs: Annotated[list[Path], Argument(metavar="RUN...", help="Run folders.")],
) -> None:
    """Write report.html, frontier.json, the tables and pictures of a run again."""
    from results import load_run, write_results
    from results.words import foreign_text
    from search.study.errors import writing

    for run in runs:
        with writing(run, "report"):
            loaded = load_run(run)
            written = write_results(loaded)
        if loaded.foreign:
            print(foreign_text(loaded.foreign), file=sys.stderr)
        for path in written:
            print(path)


def export(
    run: Annotated[
        str, Argument(metavar="RUN", help="A run folder; RUN:TRIAL and RUN:best name a trial too.")
    ],
    trial: Annotated[
        str | None, Argument(metavar="TRIAL", help="A member of the frontier, or best.")
    ] = None,
    out: Annotated[Path | None, Option(help="The folder to write. [RUN/models/TRIAL]")] = None,
) -> None:
    """Write a network of the frontier, its weights and its preprocessing as a folder for timm."""
    from results import write_timm_folder
    from results.export import class_order_text
    from search.commands.trial_names import read_trial

    found, number, why = read_trial(run, trial)
    folder = out or found.path / "models" / str(number)
    try:
        write_timm_folder(found, number, folder)
    except OSError as error:
        raise ValueError(
            f"`--out` (={str(folder)!r}) must be a folder that can be written: {error.strerror}."
        ) from None
    if why:
        print(why, file=sys.stderr)
    order = class_order_text(found, folder)
    print(
        f"{folder}\n{order}"
        f"Load it by: import timm, space.model; "
        f"timm.create_model({f'local-dir:{folder}'!r}, pretrained=True)"
    )


def flops(
    architecture: Annotated[
        str,
        Argument(metavar="NAME|FILE|RUN:TRIAL", help="deit_tiny, ..., or an architecture's JSON."),
    ],
    as_json: o.Json = False,
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
    if not path.exists() and Path(name_or_file.rpartition(":")[0], "run.json").is_file():
        return _of_trial(name_or_file)
    if name_or_file in NAMED or not (path.suffix == ".json" or path.exists()):
        return named(name_or_file)
    if (path / "run.json").is_file():
        path = path / "frontier.json"
    try:
        values = json.loads(read_small_file(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name_or_file} must be an architecture as JSON: {error}") from None
    if isinstance(values, dict) and isinstance(values.get("points"), list):
        trials = [str(p.get("trial")) for p in values["points"] if isinstance(p, dict)]
        raise ValueError(
            f"{name_or_file} holds a whole frontier, the trials {', '.join(trials) or 'none'}: "
            f"name one of them, as {path.parent}:{trials[0] if trials else 'TRIAL'}."
        )
    if isinstance(values, dict) and isinstance(values.get("model_args"), dict):
        values = values["model_args"]  # of a folder that `export` wrote
    if isinstance(values, dict) and isinstance(values.get("architecture"), dict):
        values = values["architecture"]
    try:
        return Architecture.from_dict(values)
    except ValueError as error:
        raise ValueError(f"{name_or_file}: {error}") from None


def _of_trial(name: str) -> Any:
    """The network of RUN:TRIAL or RUN:best, a member of the frontier or not."""
    from search.commands.trial_names import read_trial

    run, number, why = read_trial(name, None)
    record = next((r for r in run.records if r.trial == number), None)
    if record is None:
        raise ValueError(
            f"`TRIAL` must be a trial of {str(run.path)!r} that was trained, but got {number}."
        )
    if why:
        print(why, file=sys.stderr)
    return record.architecture


def doctor(
    data: Annotated[str | None, Option(help="The data of the search to come.")] = None,
    address: Annotated[str | None, Option(help="The Ray cluster to look at.")] = None,
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
