"""`Jobs`: what a cluster works off, and the study that it is written to. The only writer of that.

A search is one source of jobs (`ledger.py`), a confirmation another. No Ray here.
"""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from results import TrialRecord, pareto_front, record_from_trial
from results.record import ASKED_FOR, NEVER_TRAINED, Epoch, State
from search.settings import SearchSettings
from search.study.mirror import set_user_attr, together
from space import Architecture

# attributes that a trial is enqueued with
ASKED_WITH = ("baseline", "parts", "eager", "confirms", "crashes", "seed")
REPEATED_FAILURES = 5  # the same failure that often in a row stops the run
_STATES = {"stopped": TrialState.PRUNED, "failed": TrialState.FAIL}


@dataclass(slots=True)
class LiveTrial:
    """A trial that is being trained, and its curve so far."""

    trial: optuna.Trial
    architecture: Architecture
    flops: int
    params: int
    seed: int
    started: float  # seconds since 1970
    baseline: str | None = None
    parts: int = 1  # in which a batch is trained on, for memory's sake
    crashes: int = 0  # how often its worker died before
    eager: bool = False  # without CUDA graphs, since none could be captured
    worker: str | None = None
    began: float = field(default_factory=time.monotonic)
    curve: list[dict[str, Any]] = field(default_factory=list)

    def record(self, state: State, **outcome: Any) -> TrialRecord:
        """The record of the trial as it is now."""
        return TrialRecord(
            trial=self.trial.number,
            architecture=self.architecture,
            flops=self.flops,
            params=self.params,
            state=state,
            seed=self.seed,
            curve=tuple(Epoch.from_report(epoch) for epoch in self.curve),
            baseline=self.baseline,
            started=self.started,
            worker=self.worker or None,
            **outcome,
        )


class Jobs(ABC):
    """Trainings to be asked for, running and over. `finished`: records of trainings that are over,
    in short; `front`: those on the frontier; `goes_on_by`: the command that goes on with them;
    `on_event` is told all that happens to a training."""

    goes_on_by: ClassVar[str] = "resume"

    def __init__(self, study: optuna.Study, settings: SearchSettings) -> None:
        self.study, self.settings = study, settings
        self.on_event: Callable[[dict[str, Any]], None] = lambda event: None
        self.live: dict[int, LiveTrial] = {}
        self.finished: list[TrialRecord] = []
        self.front: list[TrialRecord] = []
        self.stop_reason: str | None = None

    # ---- what a source of jobs says itself -----------------------------------------------------

    @property
    @abstractmethod
    def total(self) -> int:
        """How many trainings are asked for in all."""

    @property
    @abstractmethod
    def remaining(self) -> int:
        """Trainings still to be started."""

    @abstractmethod
    def ask(self) -> LiveTrial | None:
        """The next network to train; `None` if there is none for now."""

    @abstractmethod
    def architecture_of(self, params: dict[str, Any]) -> Architecture:
        """The network of a trial with these parameters."""

    def name_of(self, record: TrialRecord) -> str:
        """What a training is called where people read."""
        return f"trial {record.trial}" + (f" {record.baseline}" if record.baseline else "")

    def remarks(self) -> list[str]:
        """What else is said of how far it is."""
        return []

    def kept(self) -> set[int]:
        """The trials whose weights stay on disk: those on the frontier."""
        return {record.trial for record in self.front}

    def tested(self) -> list[TrialRecord]:
        """The trainings that the test split is read for, at the end: those on the frontier."""
        return list(self.front)

    # ---- what comes back -----------------------------------------------------------------------

    def begin(self, number: int, live: LiveTrial) -> None:
        """A training begins."""
        self.live[number] = live
        told = live.record("running").to_attrs()
        if "confirms" in live.trial.user_attrs:  # (trial of the search, repeat)
            told["confirms"] = live.trial.user_attrs["confirms"]
        self.on_event({"event": "started", "trial": number, **told})

    def report(self, number: int, epoch: dict[str, Any]) -> None:
        """One epoch of a running trial."""
        self.live[number].curve.append(epoch)
        self.on_event({"event": "epoch", "trial": number, **epoch})

    def complete(self, number: int) -> TrialRecord:
        """The trial was trained to the last epoch."""
        live = self.live[number]
        accuracy = float(live.curve[-1]["accuracy"])
        return self._finish(number, "complete", values=(accuracy, float(live.flops)))

    def stop(self, number: int) -> TrialRecord:
        """The trial was stopped early; it keeps its curve and has no value."""
        return self._finish(number, "stopped")

    def fail(self, number: int, *, kind: str, error: str, traceback: str = "") -> TrialRecord:
        """The trial failed for a reason; five of the same kind and text in a row stop the run."""
        record = self._finish(
            number,
            "failed",
            error_kind=kind,
            error=error[:2000],
            traceback=traceback[-8000:] or None,
        )
        last = [(r.error_kind, r.error) for r in self.finished[-REPEATED_FAILURES:]]
        if len(last) == REPEATED_FAILURES and len(set(last)) == 1 and last[0][0] is not None:
            self.stop_reason = f"{REPEATED_FAILURES} trials in a row failed alike: {error}"
        return record

    def release(
        self, number: int, *, parts: int = 1, eager: bool = False, crashed: bool = False
    ) -> None:
        """Gives up a running trial without blame: the run was interrupted, its machine died, had
        too little memory or could not capture it. Its network is asked again, with batches in so
        many `parts`, and without CUDA graphs if `eager`. `crashed`: its worker died, which is
        forgiven once."""
        live = self.live.pop(number)
        changed: dict[str, Any] = {"parts": parts} if parts > 1 else {}
        changed |= {"eager": True} if eager else {}
        changed |= {"crashes": live.crashes + 1} if crashed else {}
        self._requeue(number, live.trial.params, live.trial.user_attrs | changed)
        self.on_event({"event": "released", "trial": number})

    def release_all(self) -> None:
        """Gives up every running trial."""
        with together(self.study):
            for number in list(self.live):
                self.release(number)

    def _requeue(self, number: int, params: dict[str, Any], attrs: dict[str, Any]) -> None:
        with together(self.study):
            self._enqueue_again(params, attrs)  # first: asked twice is found out, never is not
            trial = self.study.get_trials(deepcopy=False)[number]
            set_user_attr(self.study, trial, "state", "interrupted")
            self.study.tell(number, state=TrialState.FAIL)

    def _enqueue_again(self, params: dict[str, Any], attrs: dict[str, Any]) -> None:
        kept = {name: attrs[name] for name in ASKED_WITH if attrs.get(name)}
        self.study.enqueue_trial(params, user_attrs=kept)

    def _finish(
        self,
        number: int,
        state: State,
        values: tuple[float, float] | None = None,
        **reason: str | None,
    ) -> TrialRecord:
        live = self.live.pop(number)
        seconds = round(time.monotonic() - live.began, 3)
        record = live.record(state, seconds=seconds, **reason)
        described = live.record("running").to_attrs()
        with together(self.study):
            for name, value in record.to_attrs().items():
                if name not in described:
                    live.trial.set_user_attr(name, value)
            self.study.tell(live.trial, values, state=_STATES.get(state))
        self._take_in(record.in_short())
        event = "finished" if state == "complete" else state
        told = {"accuracy": record.accuracy, "epochs": record.epochs, "seconds": seconds}
        failed = {"error_kind": record.error_kind, "error": record.error}
        self.on_event({"event": event, "trial": number, **told, **(failed if record.error else {})})
        return record

    def _take_in(self, record: TrialRecord) -> None:
        """A training that is over, in short."""
        self.finished.append(record)
        self.front = pareto_front([*self.front, record])

    def _recall(self, trial: FrozenTrial) -> TrialRecord | None:
        """The record of a trial as it stays in memory, from all of the trial or from what `Mirror`
        holds: of its curve the last point, and not what it was trained by."""
        attrs = trial.user_attrs
        if not trial.state.is_finished() or attrs.get("state") in NEVER_TRAINED:
            return None
        short = copy.copy(trial)
        short.user_attrs = {name: attrs[name] for name in ASKED_FOR if name in attrs} | {
            "architecture": attrs.get("architecture")
            or self.architecture_of(trial.params).to_dict(),
            "curve": attrs.get("curve", [])[-1:],
        }
        return record_from_trial(short, self.study.user_attrs)

    def counts(self) -> Counter[str]:
        """How many finished trials there are of each state."""
        return Counter(record.state for record in self.finished)


def seed_of(*words: int) -> int:
    """A 32-bit seed that is a function of `words` alone."""
    return int(np.random.SeedSequence(words).generate_state(1)[0])
