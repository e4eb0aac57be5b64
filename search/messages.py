"""What the command line says of a search before it begins and when it is over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from results.units import counted
from search.settings import SearchSettings, format_count
from space import count_flops

if TYPE_CHECKING:
    from rich.console import Console

    from results import Run
    from trainers import Dataset, Recipe


def introduce(settings: SearchSettings, dataset: Dataset, recipe: Recipe, console: Console) -> None:
    """What will be searched, on what, for what."""
    space, smallest = settings.space, settings.space.smallest()
    console.print(
        f"Searching {space.size():.3g} networks of the space {space.name!r} for the frontier under "
        f"{format_count(settings.budget)} FLOPs (the smallest costs "
        f"{format_count(count_flops(smallest))}).\n"
        f"Data: {dataset.name}, {dataset.img_size} pixels, {dataset.num_classes} classes, "
        f"{len(dataset.train_labels)} images to train on and {len(dataset.val_labels)} to validate "
        f"on, {len(dataset.test_labels)} for the end.\n"
        f"{counted(settings.trials, 'trial')} of {counted(recipe.epochs, 'epoch')}, sampler "
        f"{settings.sampler}, seed {settings.seed}. Run folder: {settings.out}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    for path, reason in dataset.skipped[:10]:
        console.print(f"Left out: {path}: {reason}", markup=False, soft_wrap=True)
    if len(dataset.skipped) > 10:
        console.print(f"... and {len(dataset.skipped) - 10} more images that cannot be read.")


def conclude(run: Run, console: Console, *, interrupted: bool, as_json: bool) -> None:
    """How it ended, and where the report is; with `as_json` also one line of JSON to stdout."""
    if interrupted:
        console.print(
            f"Interrupted. Nothing finished is lost; go on by: vit-frontier resume {run.path}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    if run.stop_reason:
        console.print(f"Stopped: {run.stop_reason}", markup=False, soft_wrap=True)
    if run.front:
        best = run.front[-1]
        test = "" if best.test_accuracy is None else f", test accuracy {best.test_accuracy:.4f}"
        console.print(
            f"{counted(len(run.front), 'network')} on the frontier, the best with validation "
            f"accuracy {best.accuracy:.4f}{test} at {best.flops:,} FLOPs (trial "
            f"{best.trial}); hypervolume {run.hypervolume:.4f}.\n"
            f"Report: {run.path / 'report.html'}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    elif not interrupted:
        console.print("No trial was trained to the end, so there is no frontier.")
    if as_json:
        print(json.dumps(summary(run)))


def summary(run: Run) -> dict[str, Any]:
    """A run as one line of JSON."""
    states = ("complete", "stopped", "failed", "running")
    return {
        "run": str(run.path),
        "budget_flops": run.budget_flops,
        "finished": run.finished,
        "stop_reason": run.stop_reason,
        **{state: run.count(state) for state in states},
        "over_budget": run.over_budget,
        "hypervolume": run.hypervolume,
        "frontier": [
            {"trial": r.trial, "flops": r.flops, "params": r.params, "accuracy": r.accuracy}
            for r in run.front
        ],
    }
