"""What the command line says of a search before it begins and when it is over."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from results.words import counted, format_count, percent
from search.settings import SearchSettings
from space import count_flops

if TYPE_CHECKING:
    from rich.console import Console

    from results import Run
    from trainers import Dataset, Recipe

MOST_KINDS = 5  # of files left out that are named
MUCH_OF_TWO = 0.75  # of two classes, the larger one's share that is said; of more, twice its due
NEARLY_BLACK = 0.03


def introduce(settings: SearchSettings, dataset: Dataset, recipe: Recipe, console: Console) -> None:
    """What will be searched, on what, for what."""
    if settings.init is not None:
        console.print(
            f"Every network begins from the weights of {printable(settings.init)}.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    space, smallest = settings.space, settings.space.smallest()
    console.print(
        f"Searching {space.size():.3g} networks of the space {space.name!r} for the frontier under "
        f"{format_count(settings.budget)} FLOPs (the smallest costs "
        f"{format_count(count_flops(smallest))}).\n"
        f"Data: {printable(dataset.name)}, {dataset.img_size} pixels, "
        f"{dataset.num_classes} classes, {len(dataset.train_labels)} images to train on and "
        f"{len(dataset.val_labels)} to validate on, {len(dataset.test_labels)} for the end.\n"
        f"{counted(settings.trials, 'trial')} of {counted(recipe.epochs, 'epoch')}, sampler "
        f"{settings.sampler}, seed {settings.seed}. Run folder: {settings.out}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    for path, reason in dataset.skipped[:10]:
        console.print(f"Left out: {printable(path)}: {reason}", markup=False, soft_wrap=True)
    if len(dataset.skipped) > 10:
        console.print(f"... and {len(dataset.skipped) - 10} more images that cannot be read.")
    for remark in _remarks(dataset):
        console.print(remark, markup=False, highlight=False, soft_wrap=True)


def _remarks(dataset: Dataset) -> Iterator[str]:
    """What one should know of the images, a sentence each."""
    if others := dataset.other_files:
        kinds = [f"{printable(end) or 'nothing'} ({count:,})" for end, count in others[:MOST_KINDS]]
        more = " and others" if len(others) > MOST_KINDS else ""
        yield f"Left out: files ending in {', '.join(kinds)}{more}, which are not read."
    largest = float(np.bincount(dataset.val_labels).max()) / len(dataset.val_labels)
    if largest > min(2 / dataset.num_classes, MUCH_OF_TWO):
        yield (
            f"The largest class has {percent(largest)} of the validation images: an accuracy says "
            "little that does not exceed it."
        )
    if max(dataset.mean) < NEARLY_BLACK:
        yield (
            f"The training images are nearly black (mean {percent(max(dataset.mean))} of white): "
            "values of 12 bits in files of 16? Scale them first."
        )


def printable(text: str) -> str:
    """A name from outside without what a terminal would obey."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def interrupted_text(folder: Path) -> str:
    """What a search that was interrupted says last."""
    return f"Interrupted. Nothing finished is lost; go on by: vit-frontier resume {folder}"


def conclude(run: Run, console: Console, *, interrupted: bool, as_json: bool) -> None:
    """How it ended, and where the report is; with `as_json` also one line of JSON to stdout."""
    if interrupted:
        console.print(interrupted_text(run.path), markup=False, highlight=False, soft_wrap=True)
    if run.stop_reason:
        console.print(f"Stopped: {run.stop_reason}", markup=False, soft_wrap=True)
    if run.ended_short:
        console.print(f"Ended after {run.ended_short}.", markup=False, soft_wrap=True)
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
        console.print(
            "No trial was trained to the end, so there is no frontier.\n"
            f"Report: {run.path / 'report.html'}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
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
        "ended_short": run.ended_short,
        **{state: run.count(state) for state in states},
        "over_budget": run.over_budget,
        "hypervolume": run.hypervolume,
        "frontier": [
            {
                "trial": r.trial,
                "flops": r.flops,
                "params": r.params,
                "accuracy": r.accuracy,
                "test_accuracy": r.test_accuracy,
            }
            for r in run.front
        ],
    }


class LastingStream:
    """A stream whose reader may go away (`| head`, a closed terminal), or whose disk may fill: what
    is written from then on is lost, the search is not."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._lasting():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._lasting():
            self._stream.flush()

    @contextlib.contextmanager
    def _lasting(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
