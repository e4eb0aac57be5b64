"""Early stopping by what the rest of a training is expected to add to the frontier. No Ray here."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray

from search.decide.acquisition import Staircase, expected_gain, staircase
from search.decide.candidates import Candidate, Candidates
from search.decide.known_cost import Item, Problem
from search.decide.surrogate import Surrogate, fitted

Array = NDArray[np.float64]

# See `FreezeThaw`: of the gain of the best untried candidate; and by how much a cheaper trial must
# have the smaller error at a rung, for the dearer one not to count as leading.
SHARE, TOLERANCE = 0.01, 0.1
# Up to so many trials a decision is made from all, beyond from all but the last up to 10 %.
ALL, GROWTH = 100, 1.1


class Rungs(ABC):
    """Epochs at which a trial is compared with all that came that far, and what these had there.
    Raises ValueError on impossible arguments."""

    # The rungs are at 1/9 and 1/3 of the epochs, the first after the warm-up at least. An early
    # accuracy is noisy: a trial dominates another only if its error is less than (1 - `tolerance`)
    # times as large.

    def __init__(
        self,
        *,
        max_epochs: int,
        warmup_epochs: float = 0.0,
        first_rung: int | None = None,
        reduction_factor: int = 3,
        tolerance: float = TOLERANCE,
        neighbourhood: float = math.inf,
    ) -> None:
        if reduction_factor < 2:
            raise ValueError(f"`reduction_factor >= 2` must hold, but got {reduction_factor}.")
        if max_epochs < 1:
            raise ValueError(f"`max_epochs >= 1` must hold, but got {max_epochs}.")
        if not 0.0 <= tolerance < 1.0:
            raise ValueError(f"`0 <= tolerance < 1` must hold, but got {tolerance}.")
        if not neighbourhood >= 1.0:
            raise ValueError(f"`neighbourhood >= 1` must hold, but got {neighbourhood}.")
        self.reduction_factor = reduction_factor
        self._tolerance, self._neighbourhood = tolerance, neighbourhood
        warm = math.ceil(min(warmup_epochs, max_epochs / 2)) + 1 if warmup_epochs else 1
        first = first_rung or max(warm, math.ceil(max_epochs / reduction_factor**2))
        rungs = []
        while first < max_epochs:
            rungs.append(first)
            first *= reduction_factor
        self.rungs = tuple(rungs)
        self._results: dict[int, dict[int, tuple[float, float]]] = {rung: {} for rung in rungs}

    @abstractmethod
    def is_kept(self, trial: int, rung: int) -> bool:
        """Whether the trial deserves to go on, given the results at `rung` so far."""

    def report(self, trial: int, *, flops: float, epoch: int, accuracy: float | None) -> bool:
        """Takes in one epoch of a trial; whether the trial should go on."""
        if accuracy is None or not math.isfinite(accuracy):
            return False
        self.observe(trial, flops=flops, epoch=epoch, accuracy=accuracy)
        return epoch not in self._results or self.is_kept(trial, epoch)

    def observe(self, trial: int, *, flops: float, epoch: int, accuracy: float) -> None:
        """Takes in one epoch of a trial that others will be compared with."""
        if epoch in self._results:
            self._results[epoch][trial] = (accuracy, flops)

    def leads_neighbourhood(self, trial: int, rung: int) -> bool:
        """Whether none of 1/`neighbourhood` of its FLOPs up to all of them is clearly better."""
        accuracy, flops = self._results[rung][trial]
        bar = 1.0 - (1.0 - accuracy) * (1.0 - self._tolerance)
        others, costs = np.array(list(self._results[rung].values())).T
        near = (costs <= flops) & (flops <= costs * self._neighbourhood)
        better = (others > bar) | ((others == bar) & (accuracy == bar) & (costs < flops))
        return not bool((near & better).any())

    def forget(self, trial: int) -> None:
        """Takes a trial out that failed or will be trained anew."""
        for results in self._results.values():
            results.pop(trial, None)

    def take_in(self, curves: Iterable[tuple[int, float, Iterable[Mapping[str, Any]]]]) -> None:
        """Rebuilds the rungs from (trial, FLOPs, curve) of a study."""
        for trial, flops, curve in curves:
            for point in curve:
                accuracy = point["accuracy"]
                if accuracy is not None and math.isfinite(accuracy):
                    self.observe(trial, flops=flops, epoch=point["epoch"], accuracy=accuracy)


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed after some trials, and what it was made from."""

    points: bytes
    surrogate: Surrogate
    gains: Array  # (M,), expected of each candidate, trained to the end


class FreezeThaw(Rungs, Generic[Item]):
    """Stops a trial that is expected to add next to nothing to the accuracy/cost frontier
    (freeze-thaw, arXiv 1406.3896). `item(trial)` is the item of a trial's number. Same results,
    same decisions."""

    # At a rung a Gaussian process over features and log epochs predicts the accuracy at the last
    # epoch, of the trial from its result there and of untried candidates without one. The trial
    # goes on while the expected gain in hypervolume over log cost is at least `share` of what the
    # best untried candidate promises, and as long as nothing cheaper was clearly more accurate at
    # the rung. With fewer than `reduction_factor` trials complete nothing is stopped; a NaN is at
    # once.
    # The process is fitted to the trials of the lowest numbers, whenever these are a tenth more or
    # changed.

    def __init__(
        self,
        problem: Problem[Item],
        item: Callable[[int], Item],
        *,
        max_epochs: int,
        warmup_epochs: float = 0.0,
        reference_accuracy: float = 0.0,
        seed: int = 0,
        share: float = SHARE,
        tolerance: float = TOLERANCE,
        first_rung: int | None = None,
    ) -> None:
        super().__init__(
            max_epochs=max_epochs,
            warmup_epochs=warmup_epochs,
            first_rung=first_rung,
            tolerance=tolerance,
        )
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"`0 <= share <= 1` must hold, but got {share}.")
        self._last = max_epochs
        self._item, self._share, self._reference = item, share, reference_accuracy
        self._end = math.log10(problem.budget)
        self._problem, self._seed = problem, seed
        self._described: dict[int, Candidate[Item]] = {}
        self._complete: dict[int, tuple[float, float]] = {}  # trial -> accuracy, FLOPs
        self._tried: dict[int, int] = {}  # trial -> its row of the pool
        self._beliefs: dict[int, Belief] = {}  # by rung

    @cached_property
    def _candidates(self) -> Candidates[Item]:
        return Candidates(self._problem, seed=self._seed)

    @cached_property
    def _pool(self) -> list[Candidate[Item]]:
        return self._candidates.at_random(0)

    @cached_property
    def _rows(self) -> dict[Hashable, int]:
        return {candidate.key: row for row, candidate in enumerate(self._pool)}

    def observe(self, trial: int, *, flops: float, epoch: int, accuracy: float) -> None:
        super().observe(trial, flops=flops, epoch=epoch, accuracy=accuracy)
        if epoch == self._last:
            self._complete[trial] = (accuracy, flops)
        if (epoch in self.rungs or epoch == self._last) and trial not in self._described:
            described = self._candidates.describe(self._item(trial))
            self._described[trial] = described
            if described.key in self._rows:
                self._tried[trial] = self._rows[described.key]

    def is_kept(self, trial: int, rung: int) -> bool:
        if len(self._complete) < self.reduction_factor or self.leads_neighbourhood(trial, rung):
            return True
        belief, me = self._belief(trial, rung), self._described[trial]
        accuracy, _ = self._results[rung][trial]
        surrogate = belief.surrogate.given(self._inputs([me], [rung]), np.array([accuracy]))
        mean, sd = surrogate.predict(self._inputs([me], [self._last]))
        mine = expected_gain(np.array([me.log_cost]), mean, sd, self._front(self._complete))
        untried = belief.gains.copy()
        untried[list(self._tried.values())] = 0.0
        return bool(mine[0] >= self._share * untried.max(initial=0.0))

    def _belief(self, trial: int, rung: int) -> Belief:
        """From the results of others at this rung and later."""
        trials, epochs, accuracies = self._points(rung)
        others = np.unique(trials[trials != trial])
        count = ALL
        while count * GROWTH < len(others):
            count = int(count * GROWTH)
        among = np.isin(trials, others[:count])
        trials, epochs, accuracies = trials[among], epochs[among], accuracies[among]
        points = trials.tobytes() + epochs.tobytes() + accuracies.tobytes()
        if rung not in self._beliefs or self._beliefs[rung].points != points:
            surrogate = self._fit(trials, epochs, accuracies)
            inputs = self._inputs(self._pool, [self._last] * len(self._pool))
            costs = np.array([candidate.log_cost for candidate in self._pool])
            known = set(trials.tolist())
            front = self._front({t: seen for t, seen in self._complete.items() if t in known})
            gains = expected_gain(costs, *surrogate.predict(inputs), front)
            self._beliefs[rung] = Belief(points, surrogate, gains)
        return self._beliefs[rung]

    def _points(self, rung: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
        """Trial, epoch and accuracy of all results from `rung` on, by epoch and trial."""
        results = {epoch: self._results[epoch] for epoch in self.rungs if epoch >= rung}
        results[self._last] = self._complete
        trials = np.fromiter(chain.from_iterable(results.values()), np.intp)
        epochs = np.repeat(list(results), [len(seen) for seen in results.values()])
        accuracies = np.array([a for seen in results.values() for a, _ in seen.values()])
        order = np.lexsort((trials, epochs))
        return trials[order], epochs[order], accuracies[order]

    def _fit(
        self, trials: NDArray[np.intp], epochs: NDArray[np.intp], accuracies: Array
    ) -> Surrogate:
        described = [self._described[trial] for trial in trials.tolist()]
        costs = np.array([candidate.log_cost for candidate in described])
        return fitted(self._inputs(described, epochs.tolist()), accuracies, costs)

    def _inputs(self, candidates: list[Candidate[Item]], epochs: list[int]) -> Array:
        """(N, D + 1): features, and what is missing of the epochs: 0 nothing, 1 all but one."""
        missing = 1.0 - np.log(epochs) / math.log(self._last)
        return np.column_stack([np.array([c.features for c in candidates]), missing])

    def _front(self, complete: dict[int, tuple[float, float]]) -> Staircase:
        accuracies, flops = np.array(list(complete.values())).reshape(-1, 2).T
        return staircase(np.log10(flops), accuracies, reference=self._reference, end=self._end)

    def forget(self, trial: int) -> None:
        super().forget(trial)
        self._complete.pop(trial, None)
        self._described.pop(trial, None)
        self._tried.pop(trial, None)
