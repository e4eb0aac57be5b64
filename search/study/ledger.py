"""The study of a search: what was proposed, is running, came out. `Ledger.ask` proposes; what is
over budget or was tried before never leaves it. No Ray here."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from results import TrialRecord, hypervolume, pareto_front
from results.record import BUILT, is_foreign, retried_key
from results.words import foreign_text
from search.decide.candidates import Candidates
from search.decide.frontier_sampler import FrontierSampler, SpaceExhaustedError
from search.decide.known_cost import is_choice
from search.decide.problem import Network, SpaceProblem, built
from search.decide.samplers import make_sampler
from search.settings import SearchSettings
from search.study.jobs import Jobs, LiveTrial, seed_of
from search.study.mirror import fail_waiting, set_constraints, together
from space import Architecture, count_flops, count_params

REJECTS_BEFORE_RANDOM = 30  # proposals in a row, over budget or known, until one is drawn at random


class Ledger(Jobs):
    """Asks the sampler, keeps to the budget, and writes every trial to the study. `finished`:
    records of trained trials, without what only the report asks for (`_recall`); `front`: those on
    the frontier; `left_out`: sentences on trials that others added."""

    def __init__(self, study: optuna.Study, settings: SearchSettings) -> None:
        super().__init__(study, settings)
        self.space = settings.space
        self.problem = SpaceProblem(
            self.space, budget=settings.budget, max_params=settings.max_params
        )
        self._candidates: Candidates[Network] | None = None
        self.over_budget = self.duplicates = 0
        self.exhausted = False
        self.left_out: list[str] = []
        self._known: dict[Hashable, int] = {}  # network -> trial number
        self._take_in_study()

    def _take_in_study(self) -> None:
        """Learns what the study holds; trials that a dead driver left running are asked again."""
        trials = self.study.get_trials(deepcopy=False)
        seed = seed_of(self.settings.seed, len(trials), 1)
        self.study.sampler = (
            FrontierSampler(
                self.problem,
                seed=self.settings.seed,
                reference_accuracy=self.settings.reference_accuracy,
            )
            if self.settings.sampler == "frontier"
            else make_sampler(self.settings.sampler, seed=seed)
        )
        for trial in trials:
            if trial.state == TrialState.RUNNING:
                self._requeue(trial.number, trial.params, trial.user_attrs)
                continue
            if trial.state == TrialState.WAITING:
                self._refuse_impossible(trial)
                continue
            if is_foreign(trial):
                self.left_out.append(foreign_text([trial.number]))
                continue
            state = trial.user_attrs.get("state")
            self.over_budget += state == "over_budget"
            self.duplicates += state == "duplicate"
            record = self._recall(trial)
            if record is not None:
                self._known[self.space.key(record.architecture)] = record.trial
                self.finished.append(record)
        self.front = pareto_front(self.finished)

    def _refuse_impossible(self, trial: FrozenTrial) -> None:
        """Fails a trial that was enqueued by hand with what no network of the space has: Optuna
        would hand it out."""
        asked = trial.system_attrs.get("fixed_params", {})
        wrong = [
            f"{k}={asked[k]!r}"
            for k, d in self.problem.distributions.items()
            if k in asked and not is_choice(asked[k], d)
        ]
        if wrong:
            fail_waiting(self.study, trial)
            self.left_out.append(
                f"Trial {trial.number}, which was enqueued, is left out: the space "
                f"{self.space.name!r} has no {', '.join(wrong)}."
            )

    @property
    def total(self) -> int:
        return self.settings.trials

    @property
    def remaining(self) -> int:
        """Trainings still to be started."""
        if self.exhausted or self.stop_reason:
            return 0
        return max(0, self.settings.trials - len(self.finished) - len(self.live))

    def remarks(self) -> list[str]:
        reached = hypervolume(
            self.front,
            budget_flops=self.settings.budget,
            reference_accuracy=self.settings.reference_accuracy,
        )
        return [f"{self.over_budget} over budget (not trained)", f"hypervolume {reached:.4f}"]

    def kept(self) -> set[int]:
        """The trials whose weights stay on disk: those on the frontier and baselines."""
        return {record.trial for record in self.tested()}

    def tested(self) -> list[TrialRecord]:
        """The trials that the test split is read for: those on the frontier and baselines."""
        members = super().kept()
        others = (r for r in self.finished if r.baseline is not None and r.trial not in members)
        return [*self.front, *(record for record in others if record.state == "complete")]

    def enqueue(self, architecture: Architecture, baseline: str | None = None) -> None:
        """Has `architecture`, of this space, asked before the sampler is."""
        attrs = {"baseline": baseline} if baseline else {}
        self.study.enqueue_trial(self.space.encode(architecture), user_attrs=attrs)

    def architecture_of(self, params: dict[str, Any]) -> Architecture:
        return self.space.decode(params)

    def ask(self) -> LiveTrial | None:
        """The next network to train: within the budget and never tried. `None` if there is none."""
        with together(self.study):
            return self._ask()

    def _ask(self) -> LiveTrial | None:
        rejected = 0
        while self.remaining:
            if rejected and rejected % REJECTS_BEFORE_RANDOM == 0:
                drawn = self._draw_untried()
                if drawn is None:
                    self.exhausted = True
                    return None
                self.enqueue(drawn)
            try:
                trial = self.study.ask(self.problem.distributions)
            except SpaceExhaustedError:
                self.exhausted = True
                return None
            live = self._describe(trial)
            twin = self._known.get(self.space.key(live.architecture))
            if not self.problem.fits(Network({}, live.architecture)):
                self._tell_over_budget(live)
            elif twin is not None:
                self._tell_duplicate(live, twin)
            else:
                self._known[self.space.key(live.architecture)] = trial.number
                self.begin(trial.number, live)
                return live
            rejected += 1
        return None

    def _describe(self, trial: optuna.Trial) -> LiveTrial:
        architecture = self.space.decode(trial.params)
        live = LiveTrial(
            trial=trial,
            architecture=architecture,
            flops=count_flops(architecture),
            params=count_params(architecture),
            seed=trial.user_attrs.get("seed", seed_of(self.settings.seed, trial.number, 0)),
            started=time.time(),
            baseline=trial.user_attrs.get("baseline"),
            parts=trial.user_attrs.get("parts", 1),
            crashes=trial.user_attrs.get("crashes", 0),
            eager=trial.user_attrs.get("eager", False),
        )
        for name, value in live.record("running").to_attrs().items():
            if name != "baseline":  # the one attribute that it was asked with
                trial.set_user_attr(name, value)
        trial.set_user_attr(BUILT, built(self.space, live.architecture))
        over = [live.flops - self.settings.budget]
        if self.settings.max_params is not None:
            over.append(live.params - self.settings.max_params)
        set_constraints(self.study, trial, over)
        return live

    def _tell_over_budget(self, live: LiveTrial) -> None:
        """A violated constraint, which samplers learn from; FAIL would have TPE ask it again."""
        live.trial.set_user_attr("state", "over_budget")
        self.study.tell(live.trial, (0.0, float(live.flops)))
        self.over_budget += 1

    def _tell_duplicate(self, live: LiveTrial, twin: int) -> None:
        live.trial.set_user_attr("state", "duplicate")
        live.trial.set_user_attr("duplicate_of", twin)
        told = self.study.get_trials(deepcopy=False)[twin]
        if told.state == TrialState.COMPLETE:
            self.study.tell(live.trial, told.values)
        else:
            self.study.tell(live.trial, state=TrialState.FAIL)
        self.duplicates += 1

    def _draw_untried(self) -> Architecture | None:
        """A random untried network within the budget; `None` if the space has no more."""
        if self._candidates is None:
            self._candidates = Candidates(self.problem, seed=self.settings.seed)
        number = len(self._known)
        drawn = [c for c in self._candidates.at_random(number) if c.key not in self._known]
        drawn = drawn or self._candidates.left(self._known.keys())
        rng = np.random.default_rng(seed_of(self.settings.seed, number, 2))
        return drawn[int(rng.integers(len(drawn)))].item.architecture if drawn else None

    # ---- what comes back -----------------------------------------------------------------------

    def release(
        self, number: int, *, parts: int = 1, eager: bool = False, crashed: bool = False
    ) -> None:
        self.exhausted = False
        self._known.pop(self.space.key(self.live[number].architecture), None)
        super().release(number, parts=parts, eager=eager, crashed=crashed)

    def forget_failures(self) -> int:
        """Takes failed trials out of the records and has their networks asked again."""
        failed = [record for record in self.finished if record.state == "failed"]
        trials = self.study.get_trials(deepcopy=False)
        for record in failed:
            trial = trials[record.trial]
            anew = {k: v for k, v in trial.user_attrs.items() if k != "seed"}
            self._enqueue_again(trial.params, anew)
            # A finished trial cannot be changed, so the study says that it no longer counts.
            self.study.set_user_attr(retried_key(record.trial), True)
            self._known.pop(self.space.key(record.architecture), None)
        self.finished = [record for record in self.finished if record.state != "failed"]
        return len(failed)

    def curves(self) -> list[tuple[int, int, Sequence[dict[str, Any]]]]:
        """(trial, FLOPs, curve) of every record: what a restarted early stopping learns from."""
        trials = self.study.get_trials(deepcopy=False)
        return [
            (r.trial, r.flops, trials[r.trial].user_attrs.get("curve", []))
            for r in self.finished
            if r.state != "failed"
        ]

    def network(self, number: int) -> Network:
        """The network of a trial."""
        if number in self.live:
            return Network({}, self.live[number].architecture)
        return self.problem.decode(self.study.get_trials(deepcopy=False)[number].params)
