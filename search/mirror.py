"""A study in memory with its database behind it: reading is free, writing a whole trial at a time.

Optuna's own storage makes a transaction of every parameter and attribute, dozens a trial.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session


class StudyDatabase(RDBStorage):
    """Optuna's database, with trials also written as a whole."""

    def write_trials(
        self, study_id: int, trials: Iterable[FrozenTrial], rows: dict[int, int]
    ) -> dict[int, int]:
        """Makes the database's trials of these numbers what is given, in one transaction; by
        number the row that each has. `rows`: what is known of that. Doing it again changes nothing.
        Raises StorageInternalError."""
        found = {}
        with _create_scoped_session(self.scoped_session) as session:
            for trial in trials:
                row = rows.get(trial.number)
                if row is None:
                    newer = next(reversed(rows.values()), 0)
                    row = _new_row(session, study_id, trial, newer_than=newer)
                _write(session, row, trial)
                found[trial.number] = row
        return found


def _new_row(session: Session, study_id: int, trial: FrozenTrial, *, newer_than: int) -> int:
    """A row for the trial: one that was written by a transaction whose answer was lost, or new."""
    lost = select(models.TrialModel.trial_id).where(
        models.TrialModel.study_id == study_id,
        models.TrialModel.trial_id > newer_than,
        models.TrialModel.number == trial.number,
    )
    row = session.scalar(lost)
    if row is None:
        added = models.TrialModel(study_id=study_id, number=trial.number, state=trial.state)
        session.add(added)
        session.flush()
        row = added.trial_id
    return int(row)


def _write(session: Session, row: int, trial: FrozenTrial) -> None:
    """Sets what `trial` holds; attributes that others gave it stay."""
    there = session.get(models.TrialModel, row)
    assert there is not None
    there.state = trial.state
    there.datetime_start, there.datetime_complete = trial.datetime_start, trial.datetime_complete
    params = {
        name: {
            "param_value": distribution.to_internal_repr(trial.params[name]),
            "distribution_json": distribution_to_json(distribution),
        }
        for name, distribution in trial.distributions.items()
    }
    stored = models.TrialValueModel.value_to_stored_repr
    values = {
        objective: dict(zip(("value", "value_type"), stored(value), strict=True))
        for objective, value in enumerate(trial.values or ())
    }
    for model, key, contents in (
        (models.TrialParamModel, "param_name", params),
        (models.TrialValueModel, "objective", values),
        (models.TrialUserAttributeModel, "key", _as_json(trial.user_attrs)),
        (models.TrialSystemAttributeModel, "key", _as_json(trial.system_attrs)),
    ):
        if contents:
            table = model.__table__
            mine = table.c.trial_id == row, table.c[key].in_(list(contents))
            session.execute(delete(table).where(*mine))
            lines = [{"trial_id": row, key: name, **line} for name, line in contents.items()]
            session.execute(insert(table), lines)


def _as_json(attributes: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {key: {"value_json": json.dumps(value)} for key, value in attributes.items()}


class Mirror(InMemoryStorage):
    """The study `name` of a database that nobody else writes while this exists.

    What is written is on disk when the call returns; within `together`, when that ends.
    """

    def __init__(self, database: StudyDatabase, name: str) -> None:
        super().__init__()
        self._database = database
        there = database.get_study_id_from_name(name)
        here = super().create_new_study(database.get_study_directions(there), name)
        self._there = there
        for key, value in database.get_study_user_attrs(there).items():
            super().set_study_user_attr(here, key, value)
        for key, value in database.get_study_system_attrs(there).items():
            super().set_study_system_attr(here, key, value)
        trials = database.get_all_trials(there, deepcopy=False)
        self._rows = {trial.number: trial._trial_id for trial in trials}
        for trial in trials:
            super().create_new_trial(here, trial)
        self._changed: set[int] = set()
        self._depth = 0

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

    def _note(self, trial_id: int) -> None:
        self._changed.add(trial_id)
        if not self._depth:
            self._write()

    def _write(self) -> None:
        if self._changed:
            trials = [self._get_trial(trial_id) for trial_id in sorted(self._changed)]
            self._rows |= self._database.write_trials(self._there, trials, self._rows)
            self._changed.clear()

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        trial_id = super().create_new_trial(study_id, template_trial)
        self._note(trial_id)
        return trial_id

    def set_trial_param(
        self, trial_id: int, param_name: str, value: float, distribution: BaseDistribution
    ) -> None:
        super().set_trial_param(trial_id, param_name, value, distribution)
        self._note(trial_id)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        done = super().set_trial_state_values(trial_id, state, values)
        self._note(trial_id)
        return done

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_user_attr(trial_id, key, value)
        self._note(trial_id)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_system_attr(trial_id, key, value)
        self._note(trial_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._database.set_study_user_attr(self._there, key, value)
        super().set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._database.set_study_system_attr(self._there, key, value)
        super().set_study_system_attr(study_id, key, value)


def together(study: optuna.Study) -> contextlib.AbstractContextManager[None]:
    """`Mirror.together` of the study; where it has none, every write stands by itself."""
    storage = study._storage
    return storage.together() if isinstance(storage, Mirror) else contextlib.nullcontext()
