"""Successive halving that respects the frontier: the rules early stopping is compared with."""

from __future__ import annotations

import sys
from bisect import bisect_right
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search.decide.early_stopping import Rungs

NEIGHBOURHOOD = 2.0  # networks within that factor of FLOPs are compared like with like


def non_dominated_rank(accuracies: ArrayLike, flops: ArrayLike) -> NDArray[np.intp]:
    """The front each point is on: 0 for those that no other beats in one and equals in the other,
    1 for those that only front 0 does so to, and so on. Equal points are on one front."""
    points = np.column_stack([np.asarray(flops, float), -np.asarray(accuracies, float)])
    distinct, twin = np.unique(points, axis=0, return_inverse=True)  # cheapest first, then best
    ranks = np.zeros(len(distinct), int)
    best: list[float] = []  # the lowest -accuracy of each front so far
    for i, loss in enumerate(distinct[:, 1].tolist()):
        ranks[i] = front = bisect_right(best, loss)  # all cheaper ones came before
        best[front : front + 1] = [loss]
    return ranks[twin.reshape(-1)]


def spread_order(accuracies: ArrayLike, flops: ArrayLike) -> list[int]:
    """Indices such that every prefix is an epsilon-net: first the point nearest the middle, then
    each time the one farthest from those before it; log FLOPs and accuracy scaled to [0, 1].

    Accuracy has no say in it beyond its place, so that no end of a front is preferred.
    """
    axes = np.column_stack([np.log(np.asarray(flops, float)), np.asarray(accuracies, float)])
    span = np.ptp(axes, axis=0)
    axes = (axes - axes.min(axis=0)) / np.where(span > 0.0, span, 1.0)
    order = [int(np.linalg.norm(axes - axes.mean(axis=0), axis=1).argmin())]
    distance = np.full(len(axes), np.inf)
    while len(order) < len(axes):
        distance = np.minimum(distance, np.linalg.norm(axes - axes[order[-1]], axis=1))
        distance[order] = -1.0
        order.append(int(distance.argmax()))
    return order


def priority(accuracies: ArrayLike, flops: ArrayLike) -> list[int]:
    """Indices in the order in which networks deserve to go on: by front, inside one by spread."""
    accuracies, flops = np.asarray(accuracies, float), np.asarray(flops, float)
    ranks = non_dominated_rank(accuracies, flops)
    order: list[int] = []
    for front in range(int(ranks.max(initial=-1)) + 1):
        members = np.flatnonzero(ranks == front)
        inside = spread_order(accuracies[members], flops[members])
        order += members[inside].tolist()
    return order


class HalvingRule(Rungs):
    """Asynchronous successive halving (arXiv 1810.05934) on accuracy and exact FLOPs together.

    When a trial reaches a rung, it is compared with all that reached the rung before. It goes on if
    it is among the first 1/`reduction_factor` of them by `priority`, or if no trial of about its
    FLOPs (within the factor `neighbourhood`) dominates it: large networks learn more slowly, and
    against small ones at equal epochs all would be stopped. With fewer than `reduction_factor`
    results at a rung nothing is stopped; a NaN is at once.
    """

    def __init__(
        self,
        *,
        max_epochs: int,
        warmup_epochs: float = 0.0,
        first_rung: int | None = None,
        reduction_factor: int = 3,
        tolerance: float = 0.3,
        neighbourhood: float = NEIGHBOURHOOD,
    ) -> None:
        super().__init__(
            max_epochs=max_epochs,
            warmup_epochs=warmup_epochs,
            first_rung=first_rung,
            reduction_factor=reduction_factor,
            tolerance=tolerance,
            neighbourhood=neighbourhood,
        )

    def is_kept(self, trial: int, rung: int) -> bool:
        """Whether the trial deserves to go on, given the results at `rung` so far."""
        results = self._results[rung]
        if len(results) < self.reduction_factor:
            return True
        return self.leads_neighbourhood(trial, rung) or self.is_among_first(trial, rung)

    def is_among_first(self, trial: int, rung: int) -> bool:
        """Whether the trial is in the first 1/`reduction_factor` at `rung`, by `priority`."""
        results = self._results[rung]
        accuracies, flops = np.array(list(results.values())).T
        ranks, mine = non_dominated_rank(accuracies, flops), list(results).index(trial)
        before = int((ranks < ranks[mine]).sum())
        members = np.flatnonzero(ranks == ranks[mine])
        if before * self.reduction_factor >= len(results):
            return False
        if (before + len(members) - 1) * self.reduction_factor < len(results):
            return True  # wherever in its front: ordering thousands would take a second
        inside = spread_order(accuracies[members], flops[members])
        place = before + members[inside].tolist().index(mine)
        return place * self.reduction_factor < len(results)
