"""What a search had when: after each trial, each part of the compute, each hour; what it cost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from results.frontier import progress
from results.record import TrialRecord
from results.run import Run

Row = dict[str, Any]

# What progress is told over: the key of `progress_rows`, and its axis.
OVER = {
    "trial": "Trial",
    "compute": "Training compute (forward FLOPs)",
    "hours": "Hours of training",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the trainings of a search took, confirmations apart; None where the run does not tell.

    `flops` are of forward passes over training images, a teacher's included; `share` is that of
    full trainings of all the networks that were trained or stopped.
    """

    flops: int | None
    share: float | None
    core_hours: float
    gpu_hours: float | None


def progress_rows(run: Run) -> dict[str, list[Row]]:
    """Hypervolume and best accuracy after each improvement and at the end, by what it is told
    over; without what the run does not tell."""
    return {
        over: _rows(run, spent)
        for over, spent in (
            ("trial", {record.trial: float(record.trial) for record in run.records}),
            ("compute", _compute(run)),
            ("hours", hours(run)),
        )
        if spent
    }


def cost_of(run: Run) -> Cost:
    """What the trainings of `run` took."""
    full, images = run.full_epochs, run.train_images
    ended = [record for record in run.records if record.state in ("complete", "stopped")]
    beside = run.teacher_flops(beside=True)
    whole = sum((full or 0) * (record.flops + beside) for record in ended)
    took = sum(record.epochs * (record.flops + beside) for record in ended)
    seconds = sum(record.seconds or 0.0 for record in run.records)
    gpus = run.asked("gpus_per_trial")
    return Cost(
        flops=_once(run) + sum(_forward(run, record) for record in run.records) if images else None,
        share=took / whole if whole else None,
        core_hours=seconds / 3600 * float(run.asked("cpus_per_trial") or 1.0),
        gpu_hours=seconds / 3600 * gpus if gpus else None,
    )


def hours(run: Run) -> dict[int, float]:
    """By trial, after how many hours in which something trained it ended: pauses do not count.
    Empty where the run does not tell the times of all."""
    known = sorted(
        (record.started, record.seconds, record.trial)
        for record in run.records
        if record.started is not None and record.seconds
    )
    times = {trial for _, _, trial in known}
    if any(record.trial not in times for record in run.records if record.state == "complete"):
        return {}
    until, idle = known[0][0] if known else 0.0, 0.0
    ended: dict[int, float] = {}
    for started, took, trial in known:
        idle += max(0.0, started - until)
        until = max(until, started + took)
        ended[trial] = (started + took - known[0][0] - idle) / 3600
    return ended


def most_at_once(run: Run) -> int | None:
    """How many trainings ran at once at most; None where the run does not tell."""
    changes = [
        change
        for record in run.records
        if record.started is not None and record.seconds
        for change in ((record.started, 1), (record.started + record.seconds, -1))
    ]
    # an end and a beginning at the same moment are one worker
    running = itertools.accumulate(change for _, change in sorted(changes))
    return max(running, default=0) or None


def _rows(run: Run, spent: Mapping[int, float]) -> list[Row]:
    budget, reference = run.reference_point
    order: Callable[[TrialRecord], float] = lambda record: spent[record.trial]  # noqa: E731
    known = [record for record in run.records if record.trial in spent]
    steps = progress(known, budget_flops=budget, reference_accuracy=reference, order=order)
    rows: list[Row] = [
        {
            "spent": spent[step.trial],
            "trial": step.trial,
            "hypervolume": step.hypervolume,
            "best_accuracy": step.best_accuracy,
        }
        for step in steps
    ]
    last = max(spent.values(), default=0)
    if rows and rows[-1]["spent"] < last:
        rows.append({**rows[-1], "spent": last})
    return rows


def _compute(run: Run) -> dict[int, float]:
    """By trial, what all trainings had taken when it ended: in that order where it is known."""
    images = run.train_images
    if not images:
        return {}
    ended = hours(run)
    trained = [record for record in run.records if record.epochs]
    trained.sort(key=lambda record: (ended.get(record.trial, 0.0), record.trial))
    sums = itertools.accumulate(_forward(run, record) for record in trained)
    before = _once(run)
    return {
        record.trial: float(before + flops) for record, flops in zip(trained, sums, strict=True)
    }


def _forward(run: Run, record: TrialRecord) -> int:
    each = record.flops + run.teacher_flops(beside=True)
    return record.epochs * (run.train_images or 0) * each


def _once(run: Run) -> int:
    """What a teacher took before the trainings."""
    return (run.train_images or 0) * run.teacher_flops(beside=False)
