"""Early stopping by what the rest of a training is expected to add to the frontier. No Ray here."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic

import numpy as np

from search.acquisition import expected_gain, staircase
from search.candidates import Candidate, Candidates
from search.halving import HalvingRule
from search.problem import Item, Problem
from search.surrogate import FIT_POINTS, POINTS, Surrogate, most_telling

# See `FreezeThaw`: of the gain of the best untried candidate; and by how much a cheaper trial must
# have the smaller error at a rung, for the dearer one not to count as leading.
SHARE, TOLERANCE = 0.01, 0.1


class FreezeThaw(HalvingRule, Generic[Item]):
    """Stops a trial that is expected to add next to nothing to the accuracy/cost frontier.

    The rungs are those of `HalvingRule`. At a rung a Gaussian process over features and log epochs
    predicts the accuracy at the last epoch, of the trial from its curve so far and of untried
    candidates without one (freeze-thaw, arXiv 1406.3896). The trial goes on while the expected gain
    in hypervolume over log cost is at least `share` of what the best untried candidate promises,
    and as long as nothing cheaper was clearly more accurate at the rung. With fewer than
    `reduction_factor` trials complete nothing is stopped; a NaN is at once.

    `item(trial)` is the item of a trial's number. Same results, same decisions.
    """

    def __init__(
        self,
        problem: Problem[Item],
        item: Callable[[int], Item],
        *,
        reference_accuracy: float = 0.0,
        seed: int = 0,
        share: float = SHARE,
        **rungs: Any,
    ) -> None:
        """`rungs`: the arguments of `HalvingRule`."""
        super().__init__(**{"tolerance": TOLERANCE, "neighbourhood": math.inf} | rungs)
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"`0 <= share <= 1` must hold, but got {share}.")
        self._last = rungs["max_epochs"]
        self._item, self._share, self._reference = item, share, reference_accuracy
        self._end = math.log10(problem.budget)
        self._problem, self._seed = problem, seed
        self._described: dict[int, Candidate[Item]] = {}
        self._curves: dict[int, dict[int, float]] = {}

    @cached_property
    def _candidates(self) -> Candidates[Item]:
        return Candidates(self._problem, seed=self._seed)

    def observe(self, trial: int, *, flops: float, epoch: int, accuracy: float) -> None:
        super().observe(trial, flops=flops, epoch=epoch, accuracy=accuracy)
        if epoch in self.rungs or epoch == self._last:
            if trial not in self._described:
                self._described[trial] = self._candidates.describe(self._item(trial))
            self._curves.setdefault(trial, {})[epoch] = accuracy

    def is_kept(self, trial: int, rung: int) -> bool:
        complete = [t for t, curve in self._curves.items() if self._last in curve]
        if len(complete) < self.reduction_factor or self.leads_neighbourhood(trial, rung):
            return True
        tried = {candidate.key for candidate in self._described.values()}
        pool = [c for c in self._candidates.at_random(0) if c.key not in tried]
        pool.append(self._described[trial])
        mean, sd = self._surrogate(trial, rung).predict(
            np.array([[*c.features, 0.0] for c in pool])
        )
        front = staircase(
            np.array([self._described[t].log_cost for t in complete]),
            np.array([self._curves[t][self._last] for t in complete]),
            reference=self._reference,
            end=self._end,
        )
        gains = expected_gain(np.array([c.log_cost for c in pool]), mean, sd, front)
        return bool(gains[-1] >= self._share * gains[:-1].max(initial=0.0))

    def _surrogate(self, trial: int, rung: int) -> Surrogate:
        """Fitted to every trial at its last epoch and at the rungs from this one on."""
        points = [
            (self._described[t], epoch, accuracy)
            for t, curve in self._curves.items()
            for epoch, accuracy in curve.items()
            if epoch >= rung and t != trial
        ]
        costs = np.array([candidate.log_cost for candidate, _, _ in points])
        seen = np.array([accuracy for _, _, accuracy in points])
        rows = most_telling(costs, seen, POINTS - 1)
        costs, seen = costs[rows], seen[rows]
        points = [points[i] for i in rows]
        points.append((self._described[trial], rung, self._curves[trial][rung]))
        inputs = np.array(
            [[*c.features, 1.0 - math.log(e) / math.log(self._last)] for c, e, _ in points]
        )
        subset = most_telling(costs, seen, FIT_POINTS) if len(points) > FIT_POINTS else None
        return Surrogate(inputs, np.array([accuracy for _, _, accuracy in points]), subset=subset)

    def forget(self, trial: int) -> None:
        super().forget(trial)
        self._curves.pop(trial, None)
        self._described.pop(trial, None)
