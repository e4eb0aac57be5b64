"""The commands that train nothing: status, report, export, flops, doctor."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from search.commands import options as o
from search.commands.exits import console_of

if TYPE_CHECKING:
    from results import Run


def status(run: o.RunFolder, as_json: o.Json = False) -> None:
    """Show how far a run is, and its frontier so far."""
    from results import load_run
    from results.words import counted, foreign_text, format_count, metric_name
    from search.terminal.confirming import show_confirmed
    from search.terminal.display import front_table
    from search.terminal.messages import not_confirmed_text, readings_text, summary
    from search.terminal.pace import running_lines

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
    for line in running_lines(loaded):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
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
        by, width = metric_name(loaded.metric), console.width
        table = front_table(loaded.front, rows, loaded.unconfirmed, width=width, metric=by)
        console.print(table)
        if loaded.confirmed is None:
            text = not_confirmed_text(loaded).rstrip()
            console.print(text, markup=False, highlight=False, soft_wrap=True)
    show_confirmed(loaded, console)


def report(
    runs: Annotated[list[Path], Argument(metavar="RUN...", help="Run folders.")],
    overlay: Annotated[
        Path | None, Option(help="Also one page, that .html file, with the frontiers of all.")
    ] = None,
    title: Annotated[
        str | None, Option(help="The title of frontier.svg, .png, .pdf, .tex and .md.")
    ] = None,
    watch: Annotated[
        bool, Option("--watch", help="Of one run: keep report.html up to date until it ends.")
    ] = False,
) -> None:
    """Write report.html, frontier.json, the tables and pictures of a run again."""
    from results import load_run, write_results
    from results.words import foreign_text
    from search.study.errors import writing

    if watch:
        _watch(runs, overlay, title)
        return
    page = None if overlay is None else _overlay(runs, overlay)
    for run in runs:
        with writing(run, "report"):
            loaded = load_run(run)
            written = write_results(loaded, title=title)
        if loaded.foreign:
            print(foreign_text(loaded.foreign), file=sys.stderr)
        for path in written:
            print(path)
    if page is not None:
        print(page)


def _watch(runs: list[Path], overlay: Path | None, title: str | None) -> None:
    """Keeps the page of one run up to date; all of its files are written at the end."""
    from results import render_report, write_results
    from results.replace import replace_file
    from search.study.errors import writing
    from search.watch import LOOK_SECONDS, watch

    if len(runs) > 1 or overlay is not None:
        raise ValueError(
            f"`--watch` must be of one run, but got {len(runs)}"
            f"{' and --overlay' if overlay else ''}: give one run folder alone."
        )

    def write(run: Run, ended: bool) -> None:
        with writing(run.path, "report"):
            if ended:
                write_results(run, title=title)
            else:
                page = render_report(run, reload_seconds=round(2 * LOOK_SECONDS))
                replace_file(run.path / "report.html", page)
        how = "ended" if ended else "Ctrl-C ends"
        print(
            f"{run.path / 'report.html'}: {run.trained} of {run.trials_asked} trials ({how})",
            flush=True,
        )

    watch(runs[0], write)


def _overlay(runs: list[Path], file: Path) -> Path:
    """The page of several runs, before anything else is written."""
    from results import load_run
    from results.overlay_page import render_overlay
    from results.replace import make_folder, replace_file

    page = render_overlay([load_run(run) for run in runs])
    try:
        make_folder(file.parent)
        return replace_file(file, page)
    except OSError as error:
        raise ValueError(
            f"`--overlay` (={str(file)!r}) must be a file that can be written: {error.strerror}."
        ) from None


def export(
    run: Annotated[
        str, Argument(metavar="RUN", help="A run folder; RUN:TRIAL and RUN:best name a trial too.")
    ],
    trial: Annotated[
        str | None, Argument(metavar="TRIAL", help="A member of the frontier, or best.")
    ] = None,
    out: Annotated[Path | None, Option(help="The folder to write. [RUN/models/TRIAL]")] = None,
    onnx: Annotated[bool, Option("--onnx", help="Also as model.onnx, compared first.")] = False,
    all_frontier: Annotated[
        bool, Option("--all-frontier", help="Every member, each in a folder of its number.")
    ] = False,
) -> None:
    """Write a network of the frontier, its weights and its preprocessing as a folder for timm."""
    from results import load_run
    from search.commands.trial_names import read_trial

    if all_frontier:
        if trial is not None:
            raise ValueError(
                f"`TRIAL` (={trial}) must not be given with `--all-frontier`: leave out one."
            )
        found = load_run(Path(run))
        numbers, why = [record.trial for record in found.front], ""
        if not numbers:
            raise ValueError(
                f"The run {run!r} must have a frontier to export, but no trial was trained to the "
                f"end: go on with it by `vit-frontier resume {run}`."
            )
    else:
        found, number, why = read_trial(run, trial)
        numbers = [number]
    above = out or found.path / "models"
    if why:
        print(why, file=sys.stderr)
    for number in numbers:
        folder = out if out is not None and not all_frontier else above / str(number)
        _export_one(found, number, folder, onnx=onnx)


def _export_one(run: Run, trial: int, folder: Path, *, onnx: bool) -> None:
    from results import write_timm_folder
    from results.export import class_order_text
    from results.standalone import FILE

    try:
        write_timm_folder(run, trial, folder)
        if onnx:
            from results.onnx_file import write_onnx

            write_onnx(folder)
    except OSError as error:
        raise ValueError(
            f"`--out` (={str(folder)!r}) must be a folder that can be written: {error.strerror}."
        ) from None
    alone = f"; with torch and timm alone as {FILE} says" if (folder / FILE).is_file() else ""
    print(
        f"{folder}\n{class_order_text(run, folder)}"
        f"Load it by: import timm, space.model; "
        f"timm.create_model({f'local-dir:{folder}'!r}, pretrained=True){alone}"
    )


def flops(
    architecture: Annotated[
        str,
        Argument(
            metavar="NAME|FILE|RUN:TRIAL|list",
            help="deit_tiny, ..., or an architecture's JSON; list: all names.",
        ),
    ],
    as_json: o.Json = False,
) -> None:
    """Count the FLOPs and parameters of an architecture, exactly and without building it."""
    from results.words import format_count
    from search.commands.networks import read_architecture
    from space import NAMED, count_flops, count_params

    if architecture == "list":
        named = {name: (count_flops(a), count_params(a)) for name, a in NAMED.items()}
        if as_json:
            print(json.dumps({n: {"flops": f, "params": p} for n, (f, p) in named.items()}))
            return
        width = max(map(len, named))
        for name, (flops, params) in sorted(named.items(), key=lambda item: item[1]):
            print(f"{name:{width}}  {flops:>14,} FLOPs  {params:>11,} parameters")
        return
    network = read_architecture(architecture)
    counts = {"flops": count_flops(network), "params": count_params(network)}
    if as_json:
        print(json.dumps({**counts, "architecture": network.to_dict()}))
        return
    print(f"{counts['flops']:,} FLOPs ({format_count(counts['flops'])}, multiply-accumulates)")
    print(f"{counts['params']:,} parameters ({format_count(counts['params'])})")
    print(f"tokens per block: {', '.join(str(count) for count in network.token_counts)}")


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
