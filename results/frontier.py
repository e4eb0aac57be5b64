"""The accuracy/FLOPs frontier and its hypervolume. Plain arithmetic: no study, no plotting."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from results.record import TrialRecord

Point = tuple[float, float]  # (flops, accuracy)

HYPERVOLUME_AXIS = "log10(flops)"


def pareto_front(
    records: Iterable[TrialRecord], *, budget_flops: int | None = None
) -> list[TrialRecord]:
    """The complete trials of finite accuracy within `budget_flops` that no other beats, sorted by
    FLOPs, accuracy strictly increasing. Of equal accuracies the one with fewer FLOPs is kept, of
    equal trials the lowest number."""
    eligible = [(record, _point(record)) for record in records]
    ranked = sorted(
        (
            (point[0], -point[1], record.trial, record)
            for record, point in eligible
            if point is not None and (budget_flops is None or point[0] <= budget_flops)
        ),
        key=lambda item: item[:3],
    )
    front: list[TrialRecord] = []
    best = -math.inf
    for _, negative_accuracy, _, record in ranked:
        if -negative_accuracy > best:
            best = -negative_accuracy
            front.append(record)
    return front


def hypervolume(
    points: Iterable[TrialRecord | Point], *, budget_flops: float, reference_accuracy: float
) -> float:
    """Area under the accuracy staircase over log10(FLOPs), in accuracy times decades, from
    (`budget_flops`, `reference_accuracy`). Takes records or (flops, accuracy) pairs. Raises
    ValueError on FLOPs not positive or a reference not finite."""
    # The exact integral of `max(0, A(t) - reference_accuracy)` over log10(t) up to the budget,
    # where `A(t)` is the best accuracy at cost t or less and 0 where there is none. Points over
    # budget, unfinished trials and accuracies that are not finite add nothing.
    check_reference(budget_flops, reference_accuracy)
    pairs = (_point(point) if isinstance(point, TrialRecord) else point for point in points)
    return _area([pair for pair in pairs if pair is not None], budget_flops, reference_accuracy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where the search stood after `trial`: the frontier's hypervolume and the best accuracy."""

    trial: int
    hypervolume: float
    best_accuracy: float


def progress(
    records: Iterable[TrialRecord],
    *,
    budget_flops: float,
    reference_accuracy: float,
    order: Callable[[TrialRecord], float] = lambda record: record.trial,
) -> list[Progress]:
    """How the frontier grew in the `order` of trials: one entry each time it improved."""
    check_reference(budget_flops, reference_accuracy)
    front: list[Point] = []
    steps: list[Progress] = []
    for record in sorted(records, key=order):
        point = _point(record)
        if point is None or point[0] > budget_flops:
            continue
        grown = _staircase([*front, point])
        if grown != front:
            front = grown
            steps.append(
                Progress(
                    trial=record.trial,
                    hypervolume=_area(front, budget_flops, reference_accuracy),
                    best_accuracy=front[-1][1],
                )
            )
    return steps


def check_reference(budget_flops: float, reference_accuracy: float) -> None:
    """Raises ValueError unless the reference point is a positive cost and a finite accuracy."""
    if not (budget_flops > 0 and math.isfinite(budget_flops)):
        raise ValueError(f"`budget_flops` must be positive and finite, but got {budget_flops!r}.")
    if not math.isfinite(reference_accuracy):
        raise ValueError(f"`reference_accuracy` must be finite, but got {reference_accuracy!r}.")


def _point(record: TrialRecord) -> Point | None:
    accuracy = record.accuracy
    if record.state != "complete" or accuracy is None or not math.isfinite(accuracy):
        return None
    return record.flops, accuracy


def _staircase(points: Iterable[Point]) -> list[Point]:
    steps: list[Point] = []
    for flops, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not steps or accuracy > steps[-1][1]:
            steps.append((flops, accuracy))
    return steps


def _area(points: Sequence[Point], budget_flops: float, reference_accuracy: float) -> float:
    for flops, accuracy in points:
        if not flops > 0:
            raise ValueError(
                f"`flops` must be positive to lie on a logarithmic axis, but got {flops!r} "
                f"(accuracy {accuracy!r})."
            )
    steps = _staircase(
        (flops, accuracy)
        for flops, accuracy in points
        if math.isfinite(accuracy) and accuracy > reference_accuracy and flops < budget_flops
    )
    ends = [flops for flops, _ in steps[1:]] + [budget_flops]
    return math.fsum(
        (accuracy - reference_accuracy) * (math.log10(end) - math.log10(flops))
        for (flops, accuracy), end in zip(steps, ends, strict=False)
    )
