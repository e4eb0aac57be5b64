"""The commands that train: search, resume, retry."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.commands import options as o
from search.commands.exits import INTERRUPTED, console_of

if TYPE_CHECKING:
    from rich.console import Console

    from results import Run
    from search.plan import Plan

_OF_THE_COMMAND = ("as_json", "dry_run", "confirm")


def search(
    budget: o.Budget,
    max_params: o.MaxParams = None,
    space: o.Space = None,
    init: o.Init = None,
    teacher: o.Teacher = None,
    data: o.Data = "digits",
    data_root: o.DataRoot = None,
    img_size: o.ImgSize = None,
    train_samples: o.TrainSamples = None,
    val_samples: o.ValSamples = None,
    trials: o.Trials = 36,
    time_limit: o.TimeLimit = None,
    proxy: o.Proxy = "balanced",
    epochs: o.Epochs = None,
    recipe: o.RecipeFile = None,
    lr: o.LearningRate = None,
    batch_size: o.BatchSize = None,
    augment: o.Augment = None,
    metric: o.Metric = "accuracy",
    sampler: o.Sampler = "frontier",
    early_stopping: o.EarlyStopping = True,
    baselines: o.Baselines = True,
    seed: o.Seed = 0,
    workers: o.Workers = "auto",
    cpus_per_trial: o.CpusPerTrial = 1.0,
    gpus_per_trial: o.GpusPerTrial = None,
    cuda_graphs: o.CudaGraphs = False,
    silence: o.Silence = "30m",
    address: o.Address = None,
    storage: o.Storage = None,
    log: o.Log = None,
    out: o.Out = None,
    confirm: o.Confirm = None,
    dry_run: o.DryRun = False,
    as_json: o.Json = False,
) -> None:
    """Search for the networks on the accuracy/FLOPs frontier."""
    asked = {name: value for name, value in locals().items() if name not in _OF_THE_COMMAND}
    from search.confirming import AFTER_SEARCH
    from search.plan import plan_search
    from search.terminal.messages import introduce

    confirm = confirms_by_default(proxy, epochs, time_limit) if confirm is None else confirm
    console = console_of(as_json)
    plan = replace(
        plan_search(asked, console, claim=not dry_run), confirm=AFTER_SEARCH if confirm else None
    )
    introduce(plan.settings, plan.dataset, plan.recipe, console, plan.teacher)
    if dry_run:
        _tell(plan, console, as_json)
        return
    command = ["vit-frontier", *sys.argv[1:]]
    _run(plan, console, as_json, command=command)


def _tell(plan: Plan, console: Console, as_json: bool) -> None:
    """All that would run."""
    from results.words import hide_password
    from search.terminal.confirming import prospect_confirm
    from search.terminal.messages import prospect
    from search.terminal.pace import foreseen

    told = [*prospect(plan.settings, plan.dataset, plan.recipe), foreseen(plan) or ""]
    for line in filter(None, [*told, prospect_confirm() if plan.confirm else ""]):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if as_json:
        storage = plan.settings.storage
        shown = {**plan.settings.to_dict(), "storage": storage and hide_password(storage)}
        print(json.dumps({"settings": shown, "recipe": plan.recipe.to_dict()}))


def confirms_by_default(proxy: str, epochs: int | None, time_limit: str | None) -> bool:
    """Whether a search confirms at its end where that is not said: its trainings were short by a
    preset, and it may take the time."""
    return proxy != "faithful" and epochs is None and time_limit is None


def resume(
    run: o.RunFolder,
    trials: o.TrialsInAll = None,
    time_limit: o.AnotherLimit = None,
    workers: o.OtherWorkers = None,
    cpus_per_trial: o.OtherCpus = None,
    gpus_per_trial: o.OtherGpus = None,
    address: o.AnotherAddress = None,
    as_json: o.Json = False,
) -> None:
    """Go on with a run or a training that was interrupted, or with more trials."""
    changes = {name: value for name, value in locals().items() if name not in ("run", "as_json")}
    if (run / "train.json").is_file():
        from search.commands.train import go_on

        go_on(run, changes, as_json=as_json)
        return
    _resume(run, changes, as_json=as_json)


def retry(
    run: o.RunFolder,
    workers: o.OtherWorkers = None,
    address: o.AnotherAddress = None,
    as_json: o.Json = False,
) -> None:
    """Run the failed trials of a run again, then go on with it."""
    from results import load_run
    from results.words import counted
    from search.driver import forget_failures
    from search.plan import read_changes

    changes = read_changes({"workers": workers, "address": address})
    if not load_run(run).count("failed"):
        raise ValueError(
            f"The run {str(run)!r} has no failed trials, so none runs again: go on with it by "
            f"`vit-frontier resume {run}`."
        )
    count = forget_failures(run)
    console_of(as_json).print(f"{counted(count, 'failed trial')} will run again.")
    _resume(run, changes, as_json=as_json)


def _resume(run: Path, changes: dict[str, Any], *, as_json: bool) -> None:
    from search.confirming import is_to_be_confirmed
    from search.plan import finished_already, plan_resume, read_changes
    from search.terminal.messages import conclude, introduce

    console, changes = console_of(as_json), read_changes(changes)
    if (done := finished_already(run, changes)) is not None:
        if is_to_be_confirmed(done):
            _confirm(done, changes, as_json=as_json)
            return
        said = f"Nothing is left to train, {done.trained} of {done.trials_asked} trials are done: "
        console.print(f"{said}ask for more by --trials.", highlight=False, soft_wrap=True)
        conclude(done, console, interrupted=False, as_json=as_json)
        return
    plan = plan_resume(run, changes, console)
    introduce(plan.settings, plan.dataset, plan.recipe, console, plan.teacher)
    if "time_limit" in changes:  # a confirmation would take longer
        plan = replace(plan, confirm=None)
    _run(plan, console, as_json, command=None, changes=changes)


def _confirm(
    run: Run, changes: Mapping[str, Any], *, as_json: bool, searched: Plan | None = None
) -> None:
    """Confirms a search as it was asked for, or as it was confirmed so far."""
    from search.commands.confirm import confirm_run

    asked = {} if run.confirmed is not None else run.settings["confirm"]
    others = {name: value for name, value in changes.items() if name != "trials"}
    confirm_run(run.path, {**asked, **others}, as_json=as_json, searched=searched)


def _run(
    plan: Plan,
    console: Console,
    as_json: bool,
    *,
    command: list[str] | None,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Runs or goes on with a search and ends the process with its exit code. A confirmation that
    follows prints the one line of JSON and says what is confirmed."""
    from search.plan import carry_out
    from search.terminal.messages import conclude, interrupted_text

    try:
        run, interrupted = carry_out(plan, console, command=command, is_process=True)
    except SystemExit:
        text = interrupted_text(plan.folder)
        console.print(text, markup=False, highlight=False, soft_wrap=True)
        raise
    follows = bool(plan.confirm and not interrupted and not run.stop_reason and run.front)
    conclude(
        run, console, interrupted=interrupted, as_json=as_json and not follows, confirms=follows
    )
    if interrupted:
        sys.exit(INTERRUPTED)
    if run.stop_reason or not run.front:
        sys.exit(1)
    if follows:
        _confirm(run, changes or {}, as_json=as_json, searched=plan)
