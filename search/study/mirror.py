"""A study in memory with its database behind it: reading is free, writing a whole trial at a time.
Optuna's own storage makes a transaction of every parameter and attribute, dozens a trial."""

# Of trials that are over, memory holds only what is asked for again; the database holds all.

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from results.record import ASKED_FOR
from search.study.database import PARAM, SYSTEM_ATTR, USER_ATTR, WRITER, Part, StudyDatabase


class Curve(Sequence[dict[str, Any]]):
    """A learning curve in short: epochs and accuracies, and the last point with all it had."""

    __slots__ = ("_accuracies", "_epochs", "_last")

    def __init__(self, points: Sequence[Mapping[str, Any]]) -> None:
        self._epochs = array("l", (point["epoch"] for point in points))
        self._accuracies = array("d", (point["accuracy"] for point in points))
        self._last = dict(points[-1]) if points else {}

    def __len__(self) -> int:
        return len(self._epochs)

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        if place in (-1, len(self) - 1):
            return dict(self._last)
        return {"epoch": self._epochs[place], "accuracy": self._accuracies[place]}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Curve) and self[:] == other[:]


def in_short(trial: FrozenTrial, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    """What memory holds of a finished trial. It shares `distributions`, if its own are equal."""
    asked_for = ASKED_FOR if trial.params else (*ASKED_FOR, "architecture")
    attrs = {name: trial.user_attrs[name] for name in asked_for if name in trial.user_attrs}
    if "curve" in attrs:
        with contextlib.suppress(KeyError, TypeError):  # whoever reads it says what is wrong
            attrs["curve"] = Curve(attrs["curve"])
    alike = trial.distributions == distributions
    return FrozenTrial(
        number=trial.number,
        state=trial.state,
        value=None,
        values=trial.values,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params={name: trial.params[name] for name in distributions} if alike else trial.params,
        distributions=distributions if alike else trial.distributions,
        user_attrs=attrs,
        # TPE and GP note there what they are about to suggest to a running trial.
        system_attrs={k: v for k, v in trial.system_attrs.items() if "relative_params" not in k},
        intermediate_values=trial.intermediate_values,
        trial_id=trial._trial_id,
    )


class Mirror(InMemoryStorage):
    """The study `name` of a database, for the one that writes it. What is written is on disk when
    the call returns. From when another is opened, writing raises TakenOverError."""

    # Within `together`, it is on disk when that ends. From then on a finished trial, which Optuna
    # lets nobody change, is held `in_short`.

    def __init__(self, database: StudyDatabase, name: str) -> None:
        super().__init__()
        self._database = database
        there = database.get_study_id_from_name(name)
        here = super().create_new_study(database.get_study_directions(there), name)
        self._there = there
        self._writer = f"process {os.getpid()} of {socket.gethostname()}, {secrets.token_hex(4)}"
        database.set_study_user_attr(there, WRITER, self._writer)
        for key, value in database.get_study_user_attrs(there).items():
            super().set_study_user_attr(here, key, value)
        for key, value in database.get_study_system_attrs(there).items():
            super().set_study_system_attr(here, key, value)
        self._changed: dict[int, set[Part]] = {}  # by number
        self._depth = 0
        self._distributions: dict[str, BaseDistribution] = {}
        self._rows: dict[int, int] = {}  # by number, of trials that may change and of the newest
        row = -1
        while trials := database.read_trials(there, after=row):
            for trial in trials:
                row, trial._trial_id = trial._trial_id, super().create_new_trial(here)
                if trial.number != trial._trial_id:
                    raise ValueError(
                        f"The study {name!r} must hold all its trials, but lacks trial "
                        f"{trial._trial_id}, which was deleted: restore it from a copy."
                    )
                self._settle(trial, row)

    def _settle(self, trial: FrozenTrial, row: int) -> None:
        """Takes note that the database holds the trial as it is, in that row."""
        self._distributions = self._distributions or trial.distributions
        over = trial.state.is_finished()
        self._set_trial(trial._trial_id, in_short(trial, self._distributions) if over else trial)
        newest = next(reversed(self._rows), -1)
        if trial.number > newest:
            if newest >= 0 and self._get_trial(newest).state.is_finished():
                del self._rows[newest]
            self._rows[trial.number] = row
        elif over and trial.number < newest:
            self._rows.pop(trial.number, None)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Has all trials that are written inside written in one transaction at the end."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._write()

    def _note(self, trial_id: int, *parts: Part) -> None:
        self._changed.setdefault(trial_id, set()).update(parts)
        if not self._depth:
            self._write()

    def _write(self) -> None:
        if self._changed:
            trials = [self._get_trial(trial_id) for trial_id in sorted(self._changed)]
            changed = {trial.number: self._changed[trial._trial_id] for trial in trials}
            rows = self._database.write_trials(
                self._there, trials, self._rows, changed, self._writer
            )
            self._changed.clear()
            for trial in trials:
                self._settle(trial, rows[trial.number])

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        trial_id = super().create_new_trial(study_id, template_trial)
        self._note(trial_id)
        return trial_id

    def set_trial_param(
        self, trial_id: int, param_name: str, value: float, distribution: BaseDistribution
    ) -> None:
        super().set_trial_param(trial_id, param_name, value, distribution)
        self._note(trial_id, (PARAM, param_name))

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        done = super().set_trial_state_values(trial_id, state, values)
        self._note(trial_id)
        return done

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_user_attr(trial_id, key, value)
        self._note(trial_id, (USER_ATTR, key))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_system_attr(trial_id, key, value)
        self._note(trial_id, (SYSTEM_ATTR, key))

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._database.check_writer(self._there, self._writer)
        self._database.set_study_user_attr(self._there, key, value)
        super().set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._database.set_study_system_attr(self._there, key, value)
        super().set_study_system_attr(study_id, key, value)


def together(study: optuna.Study) -> contextlib.AbstractContextManager[None]:
    """`Mirror.together` of the study; where it has none, every write stands by itself."""
    storage = study._storage
    return storage.together() if isinstance(storage, Mirror) else contextlib.nullcontext()


def set_constraints(study: optuna.Study, trial: optuna.Trial, violations: list[int]) -> None:
    """Not `trial.set_constraint`: Optuna reads this form as well, optuna-dashboard only this."""
    study._storage.set_trial_system_attr(trial._trial_id, "constraints", violations)


def fail_waiting(study: optuna.Study, trial: FrozenTrial) -> None:
    """Ends a trial that was enqueued and never asked, which `tell` refuses."""
    study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def set_user_attr(study: optuna.Study, trial: FrozenTrial, key: str, value: Any) -> None:
    """Of a trial that another driver has asked for and that is not over."""
    study._storage.set_trial_user_attr(trial._trial_id, key, value)
