"""What the charts of a run show: plain rows, and the range and ticks of their axes. No plotting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from results.anytime import progress_rows
from results.frontier import pareto_front
from results.record import TrialRecord, finite
from results.run import Run
from results.words import blocks_text, metric_name, shape_text, standard_error

# What a point may be, the most notable first.
SERIES = ("on the frontier", "baseline", "complete", "stopped early", "running", "failed")
_STATES = {"complete": "complete", "stopped": "stopped early"}
MOST_STOPPED = 100  # curves of trials stopped early that are drawn
COMPARABLE = ("on the frontier", "baseline", "complete")
NEAR = 1.7  # times the FLOPs of another baseline, whose name would touch
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """The trials of one chart, the members it can number, and the ranges of its axes."""

    rows: list[Row]
    labels: list[Row]
    flops_domain: tuple[float, float]
    accuracy_domain: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartData:
    """All that the charts of a run show, computed once."""

    # `page` has every trial with an accuracy, `picture` those that can be compared. `steps` are the
    # corners of the staircase, `curves` the epochs of its members, `progress` its improvements by
    # what they are told over. `largest_class` is the share of it, where classes are not balanced.
    # `confirmed` are means of trainings by other seeds with a standard error; none before that.
    # `baseline_steps` and `baseline_names` are the staircase and the names of baselines.
    # `below_axis` counts trials of the page that are drawn at the foot of the accuracy axis.

    dataset: str | None
    metric: str
    budget_flops: int
    page: Points
    picture: Points
    steps: list[Row]
    curves: list[Row]
    stopped_curves: list[Row]
    progress: dict[str, list[Row]]
    below_axis: int
    confirmed: list[Row]
    largest_class: float | None
    baseline_steps: list[Row]
    baseline_names: list[Row]

    @classmethod
    def of(cls, run: Run) -> ChartData:
        """The data of `run`."""
        rows, steps, confirmed = frontier_rows(run), step_rows(run), confirmed_rows(run)
        page = _points(run, rows, [*steps, *confirmed])
        low = page.accuracy_domain[0]
        comparable = [row for row in rows if row["series"] in COMPARABLE]
        return cls(
            dataset=run.settings["data"].get("name"),
            metric=metric_name(run.metric),
            budget_flops=run.budget_flops,
            page=page,
            picture=_points(run, comparable, [*steps, *confirmed]),
            steps=steps,
            curves=curve_rows(run),
            stopped_curves=stopped_rows(run),
            progress=progress_rows(run),
            below_axis=sum(row["accuracy"] < low for row in rows),
            confirmed=confirmed,
            largest_class=run.largest_class,
            baseline_steps=baseline_steps(run),
            baseline_names=baseline_names(run),
        )


def _points(run: Run, rows: list[Row], steps: list[Row]) -> Points:
    across, up = flops_domain(run.budget_flops, rows), accuracy_domain(steps, rows)
    if run.largest_class is not None:
        up = min(up[0], max(0.0, run.largest_class - 0.02)), up[1]
    labels = label_rows([step for step in steps if "mean" not in step], across, up)
    return Points(rows=rows, labels=labels, flops_domain=across, accuracy_domain=up)


def frontier_rows(run: Run) -> list[Row]:
    """One row for each trial that has an accuracy; members of the frontier last, drawn on top."""
    members = {record.trial for record in run.front}
    rows = []
    for record in run.records:
        if record.accuracy is None or not math.isfinite(record.accuracy):
            continue
        series = _series(record, on_front=record.trial in members)
        row = {
            "trial": record.trial,
            "series": series,
            "state": _state(record, series),
            "flops": record.flops,
            "accuracy": record.accuracy,
            "member": record.trial in members,
            "params": record.params,
            "epochs": record.epochs,
            "shape": shape_text(record.architecture),
            "blocks": blocks_text(record.architecture),
        }
        rows.append(row | ({"baseline": record.baseline} if record.baseline else {}))
    return sorted(rows, key=lambda row: (-SERIES.index(row["series"]), row["trial"]))


def step_rows(run: Run) -> list[Row]:
    """The corners of the staircase: each member, then the last accuracy up to the budget."""
    images = run.images
    rows: list[Row] = []
    for record in run.front:
        accuracy = cast(float, record.accuracy)
        error = standard_error(accuracy, images) if images else 0.0
        low, high = max(0.0, accuracy - error), min(1.0, accuracy + error)
        step = {"flops": record.flops, "accuracy": accuracy, "low": low, "high": high}
        rows.append(step | {"trial": record.trial})
    if rows and rows[-1]["flops"] < run.budget_flops:
        rows.append({"flops": run.budget_flops, "accuracy": rows[-1]["accuracy"]})
    return rows


def _complete_baselines(run: Run) -> list[TrialRecord]:
    return [
        record
        for record in run.records
        if record.baseline is not None and record.state == "complete"
        if record.accuracy is not None and math.isfinite(record.accuracy)
    ]


def baseline_steps(run: Run) -> list[Row]:
    """The corners of the staircase of the baselines alone, up to the budget."""
    front = pareto_front(_complete_baselines(run), budget_flops=run.budget_flops)
    rows: list[Row] = [{"flops": r.flops, "accuracy": r.accuracy} for r in front]
    if rows and rows[-1]["flops"] < run.budget_flops:
        rows.append({"flops": run.budget_flops, "accuracy": rows[-1]["accuracy"]})
    return rows


def baseline_names(run: Run) -> list[Row]:
    """The name of each baseline, `above` its point, or below beside one of about its FLOPs."""
    rows: list[Row] = []
    for record in sorted(_complete_baselines(run), key=lambda record: record.flops):
        before = rows[-1] if rows else None
        close = before is not None and record.flops < NEAR * before["flops"]
        above = not (close and before is not None and before["above"])
        place = {"flops": record.flops, "accuracy": record.accuracy}
        rows.append({"name": record.baseline, **place, "above": above})
    return rows


def confirmed_rows(run: Run) -> list[Row]:
    """The confirmed mean of each network that is a member, a baseline or on the confirmed
    staircase, and a standard error to both sides."""
    if run.confirmed is None:
        return []
    return [
        {
            "trial": network.record.trial,
            "flops": network.record.flops,
            "mean": network.mean,
            "low": max(0.0, network.mean - (network.error or 0.0)),
            "high": min(1.0, network.mean + (network.error or 0.0)),
            "trainings": len(network.trainings),
            "probability": network.probability,
        }
        for network in run.confirmed.networks
        if network.mean is not None and (network.role != "control" or network.on_staircase)
    ]


def label_rows(
    steps: list[Row], flops: tuple[float, float], accuracy: tuple[float, float]
) -> list[Row]:
    """The members whose numbers can be written without touching the one before."""
    (left, right), (low, high) = flops, accuracy
    shown: list[Row] = []
    before = (-math.inf, -math.inf)
    for row in reversed([row for row in steps if "trial" in row]):
        across = 700 * math.log(row["flops"] / left) / math.log(right / left)
        up = 380 * (row["accuracy"] - low) / (high - low)
        if not shown or before[0] - across > 34 or before[1] - up > 18:
            shown.append(row)
            before = (across, up)
    return shown


def curve_rows(run: Run) -> list[Row]:
    """One row for each epoch of each member of the frontier; NaN as None, which JSON can hold."""
    return [
        {
            "trial": record.trial,
            "flops": record.flops,
            "epoch": epoch.epoch,
            "accuracy": finite(epoch.accuracy),
            "train_loss": finite(epoch.train_loss),
            "val_loss": finite(epoch.val_loss),
        }
        for record in run.front
        for epoch in record.curve
    ]


def stopped_rows(run: Run) -> list[Row]:
    """One row for each epoch of the first trials that were stopped early, which are drawn in
    grey."""
    stopped = [record for record in run.records if record.state == "stopped"][:MOST_STOPPED]
    return [
        {"trial": record.trial, "epoch": epoch.epoch, "accuracy": finite(epoch.accuracy)}
        for record in stopped
        for epoch in record.curve
    ]


def flops_domain(budget: int, rows: Sequence[Row]) -> tuple[float, float]:
    """From below the cheapest of `rows` to above the budget and the costliest."""
    flops = [budget, *(row["flops"] for row in rows)]
    high = max(flops)
    low = min(*flops, high / 3) if rows else high / 10
    margin = (high / low) ** 0.06
    return low / margin, high * margin


def accuracy_domain(steps: Sequence[Row], rows: Sequence[Row]) -> tuple[float, float]:
    """The range of the error bars of `steps` and of `rows`.

    The lowest tenth of `rows` does not stretch it: networks that never learned would flatten the
    frontier.
    """
    bars = [row[key] for row in steps for key in ("low", "high") if key in row]
    rest = sorted(row["accuracy"] for row in rows if row["series"] != "failed")
    return span([*bars, *rest[len(rest) // 10 :]])


def span(accuracies: Sequence[float | None]) -> tuple[float, float]:
    """Lowest and highest accuracy with a margin, inside [0, 1]."""
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    if not known:
        return 0.0, 1.0
    margin = max(0.01, 0.08 * (max(known) - min(known)))
    return max(0.0, min(known) - margin), min(1.0, max(known) + margin)


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between `low` and `high`, at least three where the axis allows."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= (3 if len(steps) == 3 else 4):
            break
    return ticks


def thinned(values: Sequence[float], most: int = 5) -> Sequence[float]:
    """Every k-th value, so that at most `most` are left."""
    return values[:: -(-len(values) // most)] if values else values


def _series(record: TrialRecord, *, on_front: bool) -> str:
    if record.baseline is not None and record.state == "complete":
        return "baseline"
    return "on the frontier" if on_front else _STATES.get(record.state, record.state)


def _state(record: TrialRecord, series: str) -> str:
    if record.baseline is None:
        return series
    return f"{_STATES.get(record.state, record.state)}, baseline {record.baseline}"
