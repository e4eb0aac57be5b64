"""Pruning by Pareto rank with a pruner of Optuna's, as OptunaHub's `multi_metric_pruner` does.

Written from its description (Shuhei Watanabe, registry of June 2026), for its code is loaded from
the internet: at every epoch, networks are ranked by dominance in accuracy and FLOPs, and the ranks
are told to a pruner as the values of a study that minimises. Of a pruner that keeps notes on the
trial, as `SuccessiveHalvingPruner` does, it can make nothing: the trial it is told is in no study.
"""

from __future__ import annotations

import logging

import numpy as np
import optuna
from optuna.pruners import BasePruner, MedianPruner
from optuna.trial import TrialState, create_trial

from benchmarks.halving import non_dominated_rank

logging.getLogger("optuna.storages._in_memory").setLevel(logging.WARNING)


class ParetoRank:
    """Keeps or stops by what `base` says of the Pareto ranks of all that was told so far."""

    def __init__(self, base: BasePruner, max_epochs: int) -> None:
        self._base, self._last = base, max_epochs
        self._told: dict[int, dict[int, float]] = {}  # trial -> accuracy by epoch
        self._flops: dict[int, float] = {}

    def report(self, trial: int, *, flops: float, epoch: int, accuracy: float) -> bool:
        """Whether a trial goes on; trials are told one after another."""
        self._flops[trial] = flops
        self._told.setdefault(trial, {})[epoch] = accuracy
        if epoch == self._last:
            return True
        ranks: dict[int, dict[int, float]] = {number: {} for number in self._told}
        for step in self._told[trial]:
            there = [number for number, told in self._told.items() if step in told]
            found = non_dominated_rank(
                np.array([self._told[number][step] for number in there]),
                np.array([self._flops[number] for number in there]),
            )
            for number, rank in zip(there, found, strict=True):
                ranks[number][step] = float(rank)
        study = optuna.create_study()
        mine = ranks.pop(trial)
        study.add_trials(
            create_trial(value=told[max(told)], intermediate_values=told)
            for told in ranks.values()
            if told
        )
        running = create_trial(state=TrialState.RUNNING, intermediate_values=mine)
        return not self._base.prune(study, running)


def by_median(max_epochs: int) -> ParetoRank:
    return ParetoRank(MedianPruner(), max_epochs)
