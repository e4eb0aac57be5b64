"""Networks of a finished search trained again by other seeds: `Confirmation`, a source of jobs.

What is to be confirmed is decided in `decide/confirming.py`; what came out is `results.confirmed`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.trial import TrialState

from results import Run, TrialRecord
from results.confirmed import CONFIDENCE, staircase
from results.posterior import Array, Estimates
from results.record import test_accuracy_key
from results.study_file import CONFIRM_FILE
from search.decide.confirming import Chosen, next_network, open_orders
from search.settings import SearchSettings
from search.study.jobs import Jobs, LiveTrial, seed_of
from search.study.mirror import together
from space import Architecture

DISTRIBUTIONS: dict[str, BaseDistribution] = {
    "trial": IntDistribution(0, 10**9),
    "repeat": IntDistribution(0, 10**6),
}


class Confirmation(Jobs):
    """Asks for one training of every network, then for more of those whose order is open. A trial
    of its study is one training: `trial` of the search, and which `repeat`."""

    goes_on_by: ClassVar[str] = "confirm"

    def __init__(
        self,
        study: optuna.Study,
        settings: SearchSettings,
        run: Run,
        chosen: Sequence[Chosen],
        *,
        seeds: int,
    ) -> None:
        super().__init__(study, settings)
        self._run, self._seeds = run, seeds
        self._records = {record.trial: record for record in run.records}
        self._chosen = list(chosen)  # members first, which are trained first
        self._place = {c.trial: place for place, c in enumerate(chosen)}
        self._repeats: dict[int, tuple[int, int]] = {}  # number -> (trial, repeat)
        self._waiting: list[tuple[int, int]] = []
        study.sampler = optuna.samplers.RandomSampler(seed=0)  # everything is enqueued
        self._take_in_study()

    def _take_in_study(self) -> None:
        for trial in self.study.get_trials(deepcopy=False):
            if trial.state == TrialState.WAITING:
                first, repeat = trial.user_attrs["confirms"]
                self._waiting.append((first, repeat))
            elif trial.state == TrialState.RUNNING:
                self._requeue(trial.number, trial.params, trial.user_attrs)
            elif (record := self._recall(trial)) is not None:
                self._repeats[trial.number] = trial.params["trial"], trial.params["repeat"]
                self._take_in(record)

    @property
    def total(self) -> int:
        return max(self._seeds * len(self._chosen), len(self.finished))

    @property
    def remaining(self) -> int:
        """At most so many: fewer, where orders are known before."""
        if self.stop_reason or not (self._waiting or self._next() is not None):
            return 0
        return max(1, self.total - len(self.finished) - len(self.live))

    def architecture_of(self, params: dict[str, Any]) -> Architecture:
        trial = params["trial"]
        if trial not in self._records:
            raise ValueError(
                f"{str(self._run.path / CONFIRM_FILE)!r} must confirm trials of its run, but trial "
                f"{trial} is none: restore it from a copy, or remove it to begin anew."
            )
        return self._records[trial].architecture

    def ask(self) -> LiveTrial | None:
        if self.stop_reason is not None:
            return None
        with together(self.study):
            if not self._waiting:
                network = self._next()
                if network is None:
                    return None
                used = {repeat for trial, repeat in self._begun() if trial == network}
                repeat = next(r for r in range(len(used) + 1) if r not in used)
                self._enqueue_again({"trial": network, "repeat": repeat}, {})
            return self._begin(self.study.ask(DISTRIBUTIONS))

    def _begin(self, trial: optuna.Trial) -> LiveTrial:
        network, repeat = trial.params["trial"], trial.params["repeat"]
        record = self._records[network]
        live = LiveTrial(
            trial=trial,
            architecture=record.architecture,
            flops=record.flops,
            params=record.params,
            seed=training_seed(self.settings.seed, network, repeat, own=record.seed),
            started=time.time(),
            baseline=record.baseline,
            parts=trial.user_attrs.get("parts", 1),
            eager=trial.user_attrs.get("eager", False),
        )
        for name, value in live.record("running").to_attrs().items():
            trial.set_user_attr(name, value)
        self._waiting.remove((network, repeat))
        self._repeats[trial.number] = network, repeat
        self.live[trial.number] = live
        return live

    def _enqueue_again(self, params: dict[str, Any], attrs: dict[str, Any]) -> None:
        training = params["trial"], params["repeat"]
        super()._enqueue_again(params, attrs | {"confirms": list(training)})
        self._waiting.append(training)

    def _requeue(self, number: int, params: dict[str, Any], attrs: dict[str, Any]) -> None:
        super()._requeue(number, params, attrs)
        self._repeats.pop(number, None)

    def _take_in(self, record: TrialRecord) -> None:
        self.finished.append(record)

    def _begun(self) -> list[tuple[int, int]]:
        """(trial, repeat) of all trainings that are over, running or waiting."""
        return [*self._repeats.values(), *self._waiting]

    def _estimates(self) -> Estimates:
        accuracies: list[list[float]] = [[] for _ in self._chosen]
        for record in self.finished:
            place = self._place.get(self._repeats[record.trial][0])
            accuracy = record.accuracy
            if place is not None and record.state == "complete" and accuracy is not None:
                accuracies[place] += [accuracy] if math.isfinite(accuracy) else []
        flops = [self._records[c.trial].flops for c in self._chosen]
        images = int(self._run.settings["data"]["validation"])
        return Estimates.of(flops, accuracies, images=images)

    def _next(self) -> int | None:
        """The trial whose network is trained next."""

        def count(trainings: list[tuple[int, int]]) -> Array:
            found = np.zeros(len(self._chosen))
            for trial, _ in trainings:
                if trial in self._place:
                    found[self._place[trial]] += 1
            return found

        pending = count([*(self._repeats[number] for number in self.live), *self._waiting])
        place = next_network(
            self._estimates(),
            pending,
            count(self._begun()),
            most=self._seeds,
            confidence=CONFIDENCE,
        )
        return None if place is None else self._chosen[place].trial

    def open_orders(self) -> int:
        """How many orders are not known yet."""
        return len(open_orders(self._estimates(), confidence=CONFIDENCE))

    def name_of(self, record: TrialRecord) -> str:
        trial, repeat = self._repeats[record.trial]
        name = f" {record.baseline}" if record.baseline else ""
        return f"trial {trial}{name}, training {repeat + 1}"

    def remarks(self) -> list[str]:
        return [f"{self.open_orders()} orders open"]

    def kept(self) -> set[int]:
        """All: a control may come onto the confirmed staircase by a later training."""
        return {record.trial for record in self.finished}

    def tested(self) -> list[TrialRecord]:
        """All trainings of members of the frontier or of the confirmed staircase, and of baselines:
        of the others no test accuracy is told."""
        names = self._staircase() | {c.trial for c in self._chosen if c.role == "member"}
        names |= {c.trial for c in self._chosen if self._records[c.trial].baseline is not None}
        complete = (record for record in self.finished if record.state == "complete")
        return [record for record in complete if self._repeats[record.trial][0] in names]

    def untested(self) -> bool:
        """Whether the test split is still to be read for one."""
        attrs = self.study.user_attrs
        return any(test_accuracy_key(record.trial) not in attrs for record in self.tested())

    def _staircase(self) -> set[int]:
        """The trials that are on the staircase of confirmed means."""
        return {self._chosen[place].trial for place in staircase(self._estimates())}


def training_seed(run_seed: int, trial: int, repeat: int, *, own: int) -> int:
    """A function of its words, and never `own`, the seed of the search's training."""
    attempt = 2  # 0 is that of a trial of the search, 1 that of its sampler
    while (seed := seed_of(run_seed, trial, repeat, attempt)) == own:
        attempt += 1
    return seed
