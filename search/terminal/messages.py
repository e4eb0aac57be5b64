"""What the command line says of a search before it begins and when it is over."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from results.words import (
    counted,
    format_count,
    is_unbalanced,
    metric_name,
    percent,
    pretrained_note,
    unbalanced_text,
)
from search.settings import SearchSettings
from search.teaching import teacher_text
from space import count_flops, count_params
from space.rules import show

if TYPE_CHECKING:
    from rich.console import Console

    from results import Run
    from trainers import Dataset, Recipe
    from trainers.teacher import Teacher

MOST_KINDS = 5  # of files left out that are named
NEARLY_BLACK = 0.03
SAMPLED = 1000  # networks drawn to tell how many fit
PROCESS_BYTES = 400 * 10**6  # of a worker with torch, before it has data
LARGE_ERROR = 0.03  # of an accuracy, from which validation images are few


def introduce(
    settings: SearchSettings,
    dataset: Dataset,
    recipe: Recipe,
    console: Console,
    teacher: Teacher | None = None,
) -> None:
    """What will be searched, on what, for what."""
    if settings.init is not None:
        console.print(
            f"Every network begins from the weights of {printable(settings.init)}.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    elif settings.train is None:
        note = pretrained_note(
            settings.budget, img_size=dataset.img_size, in_chans=dataset.in_chans
        )
        if note is not None:
            console.print(note, markup=False, highlight=False, soft_wrap=True)
    if teacher is not None:
        text = teacher_text(teacher, settings, recipe, dataset)
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    by = "" if settings.metric == "accuracy" else f"by {metric_name(settings.metric)}, "
    space, smallest = settings.space, settings.space.smallest()
    console.print(
        f"Searching {space.size():.3g} networks of the space {space.name!r} for the frontier under "
        f"{format_count(settings.budget)} FLOPs (the smallest costs "
        f"{format_count(count_flops(smallest))}).\n"
        f"Data: {printable(dataset.name)}, {dataset.img_size} pixels, "
        f"{dataset.num_classes} classes, {len(dataset.train_labels)} images to train on and "
        f"{len(dataset.val_labels)} to validate on, {len(dataset.test_labels)} for the end.\n"
        f"{counted(settings.trials, 'trial')} of {counted(recipe.epochs, 'epoch')}, {by}sampler "
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


def prospect(settings: SearchSettings, dataset: Dataset, recipe: Recipe) -> Iterator[str]:
    """What a search would do, beyond `introduce`: recipe, workers, what fits, memory."""
    rng, space = np.random.default_rng(0), settings.space
    drawn = [space.sample(rng) for _ in range(SAMPLED)]
    fit = [
        a for a in drawn if count_flops(a) <= settings.budget
        and count_params(a) <= (settings.max_params or math.inf)
    ]  # fmt: skip
    share, limits = len(fit) / SAMPLED, f"{format_count(settings.budget)} FLOPs"
    if settings.max_params is not None:
        limits += f" and {format_count(settings.max_params)} parameters"
    about = f"about {format_count(round(share * space.size()))}, {percent(share)} of those drawn"
    yield f"Networks within {limits}: {about if fit else f'fewer than one in {SAMPLED} drawn'}."
    if len(fit) == SAMPLED:
        most = format_count(max(map(count_flops, drawn)))
        yield f"The budget does not bind: the largest network drawn costs {most} FLOPs."
    values = ", ".join(f"{name} {show(value)}" for name, value in recipe.to_dict().items())
    yield f"Recipe: {values}."
    at_once = settings.workers or "as many as the machine or the cluster has room for"
    yield f"Workers: {at_once}, of {counted(settings.cpus_per_trial, 'CPU core')} each."
    images = dataset.train_images.nbytes + dataset.val_images.nbytes
    largest = max(map(count_params, fit), default=0)
    yield (
        f"Memory: {images / 1e6:.1f} MB of images to train and validate on; of each worker about "
        f"{(PROCESS_BYTES + 4 * images + 16 * largest) / 1e6:.0f} MB and what a batch takes."
    )


def _remarks(dataset: Dataset) -> Iterator[str]:
    """What one should know of the images, a sentence each."""
    yield from map(printable, dataset.remarks)
    if others := dataset.other_files:
        kinds = [f"{printable(end) or 'nothing'} ({count:,})" for end, count in others[:MOST_KINDS]]
        more = " and others" if len(others) > MOST_KINDS else ""
        yield f"Left out: files ending in {', '.join(kinds)}{more}, which are not read."
    seen = dataset.seen_before()
    for split, total, found in (
        ("validation", len(dataset.val_labels), "one to train on"),
        ("test", len(dataset.test_labels), "one of another split"),
    ):
        if count := seen[split]:
            yield (
                f"{count:,} of {total:,} {split} images have the very pixels of {found}: the "
                f"{split} accuracy is told too high."
            )
    error = 0.5 / len(dataset.val_labels) ** 0.5
    if error > LARGE_ERROR:
        yield (
            f"{counted(len(dataset.val_labels), 'validation image')} tell an accuracy of 50 % to "
            f"{100 * error:.1f} points (standard error): give more by --val-samples or more data."
        )
    largest = float(np.bincount(dataset.val_labels).max()) / len(dataset.val_labels)
    if is_unbalanced(largest, dataset.num_classes):
        yield unbalanced_text(largest)
    if max(dataset.mean) < NEARLY_BLACK:
        yield (
            f"The training images are nearly black (mean {percent(max(dataset.mean))} of white): "
            "values of 12 bits in files of 16? Scale them first."
        )


def printable(text: str) -> str:
    """A name from outside without what a terminal would obey."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def interrupted_text(folder: Path, by: str = "resume") -> str:
    """What is said last where it was interrupted; `by`: the command that goes on."""
    return f"Interrupted. Nothing finished is lost; go on by: vit-frontier {by} {folder}"


def conclude(
    run: Run, console: Console, *, interrupted: bool, as_json: bool, confirms: bool = False
) -> None:
    """How it ended, and where the report is; with `as_json` also one line of JSON to stdout.
    `confirms`: a confirmation follows, which says the rest."""
    if interrupted:
        console.print(interrupted_text(run.path), markup=False, highlight=False, soft_wrap=True)
    if run.stop_reason:
        console.print(f"Stopped: {run.stop_reason}", markup=False, soft_wrap=True)
    if run.ended_short:
        console.print(f"Ended after {run.ended_short}.", markup=False, soft_wrap=True)
    if len(run.test_readings) > 1:
        console.print(readings_text(run), markup=False, highlight=False, soft_wrap=True)
    if run.front:
        top = run.front[-1]
        name = metric_name(run.metric)
        test = "" if top.test_accuracy is None else f", test {name} {top.test_accuracy:.4f}"
        console.print(
            f"{counted(len(run.front), 'network')} on the frontier, the highest with "
            f"validation {name} {top.accuracy:.4f}{test} at {top.flops:,} FLOPs (trial "
            f"{top.trial}); hypervolume {run.hypervolume:.4f}.\n"
            f"{'' if confirms else not_confirmed_text(run)}Report: {run.path / 'report.html'}",
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


def not_confirmed_text(run: Run) -> str:
    """A line that names the members of the frontier that a confirmation does not confirm."""
    if run.confirmed is None:
        return (
            "Each was trained once, and chosen for what that gave: none is confirmed until "
            f"vit-frontier confirm {run.path}\n"
        )
    if not run.unconfirmed:
        return ""
    names = ", ".join(map(str, sorted(run.unconfirmed)))
    return f"Not confirmed: trials {names}; go on by: vit-frontier confirm {run.path}\n"


def readings_text(run: Run) -> str:
    """What is said of a test split that was read more than once: after a resume, for members that
    are new."""
    times = "; ".join(", ".join(map(str, trials)) for trials in run.test_readings)
    return f"The test split was read {len(run.test_readings)} times, for the trials {times}."


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
        "trials": run.trials_asked,
        "test_readings": [list(trials) for trials in run.test_readings],
        "hypervolume": run.hypervolume,
        "metric": run.metric,
        "frontier": [
            {
                "trial": r.trial,
                "flops": r.flops,
                "params": r.params,
                "accuracy": r.accuracy,
                "test_accuracy": r.test_accuracy,
            }
            | ({} if run.confirmed is None else {"confirmed": r.trial not in run.unconfirmed})
            for r in run.front
        ],
        **_summary_of_confirmed(run),
    }


def _summary_of_confirmed(run: Run) -> dict[str, Any]:
    """Nothing before a confirmation."""
    found = run.confirmed
    if found is None:
        return {}
    networks = [
        {
            "trial": network.record.trial,
            "n": len(network.trainings),
            "mean": network.mean,
            "std": network.std,
            "probability": network.probability,
            "test_accuracy": network.test_accuracy,
        }
        for network in found.networks
    ]
    state = {"finished": found.finished, "ended": found.ended, "verdict": found.verdict}
    return {"confirmed": state | {"networks": networks}}


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
