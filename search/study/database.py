"""Optuna's database, with trials also written as a whole and read a few at a time.

Optuna's own storage makes a transaction of every parameter and attribute, dozens a trial. Its
tables are named here alone; `search.study.quirks` lists them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

LAST_ROW = 2**31 - 1
READ_AT_ONCE = 500  # trials; Optuna's way of reading takes 50 KB of memory for each

# The tables of what a trial holds, and the column that names the part of it.
KEYS = {
    models.TrialParamModel: "param_name",
    models.TrialValueModel: "objective",
    models.TrialUserAttributeModel: "key",
    models.TrialSystemAttributeModel: "key",
}
PARAM, USER_ATTR, SYSTEM_ATTR = (
    models.TrialParamModel,
    models.TrialUserAttributeModel,
    models.TrialSystemAttributeModel,
)
Part = tuple[Any, str]  # of a trial: its table and name
WRITER = "writer"  # the study's attribute that says which `Mirror` may write its trials


class TakenOverError(Exception):
    """Another `Mirror` has been opened on the study since; the message says where."""


class TrialGoneError(Exception):
    """The database lacks a trial that it had written; the message is its number."""


class StudyDatabase(RDBStorage):
    """The storage of a study for the one that writes it, see `Mirror`."""

    def check_writer(self, study_id: int, writer: str) -> None:
        """Raises TakenOverError if the study's `WRITER` is not `writer`."""
        with _create_scoped_session(self.scoped_session) as session:
            _check_writer(session, study_id, writer)

    def read_trials(self, study_id: int, *, after: int) -> list[FrozenTrial]:
        """The next trials beyond the row `after`, `READ_AT_ONCE` at most."""
        with _create_scoped_session(self.scoped_session) as session:
            table = models.TrialModel
            mine = table.study_id == study_id, table.trial_id > after
            rows = select(table.trial_id).where(*mine).order_by(table.trial_id)
            found = set(session.scalars(rows.limit(READ_AT_ONCE)))
        return self._get_trials(study_id, None, found, LAST_ROW) if found else []

    def write_trials(
        self,
        study_id: int,
        trials: Sequence[FrozenTrial],
        rows: Mapping[int, int],
        changed: Mapping[int, set[Part]],
        writer: str,
    ) -> dict[int, int]:
        """Makes the database's trials of these numbers what is given, in one transaction; by
        number the row that each has. `rows`: what is known of that, the newest last. `changed`: of
        trials with a known row, the parts to write, else all. Doing it again changes nothing.
        Raises StorageInternalError, TrialGoneError, and TakenOverError if the study's `WRITER` is
        not `writer`."""
        new = [trial.number for trial in trials if trial.number not in rows]
        with _create_scoped_session(self.scoped_session) as session:
            _check_writer(session, study_id, writer)
            known = dict(rows)
            if new:  # a transaction whose answer was lost may have written them
                newest = max(rows.values(), default=0)
                known |= _rows_of(session, study_id, new, newer_than=newest)
            there = {}
            for trial in trials:
                row = known.get(trial.number)
                model: Any
                if row is None:
                    model = models.TrialModel(study_id=study_id, number=trial.number)
                    session.add(model)
                else:
                    model = session.get(models.TrialModel, row)
                    if model is None:
                        raise TrialGoneError(trial.number)
                model.state = trial.state
                model.datetime_start = trial.datetime_start
                model.datetime_complete = trial.datetime_complete
                there[trial.number] = model
            session.flush()
            found = {number: int(model.trial_id) for number, model in there.items()}
            lines: dict[Any, list[dict[str, Any]]] = {kind: [] for kind in KEYS}
            for trial in trials:
                row = found[trial.number]
                parts = changed.get(trial.number) if trial.number in rows else None
                for kind, contents in _contents(trial, parts).items():
                    key = KEYS[kind]
                    if trial.number in known:
                        mine = kind.trial_id == row, getattr(kind, key).in_(list(contents))
                        session.execute(delete(kind.__table__).where(*mine))
                    lines[kind] += [
                        {"trial_id": row, key: name, **line} for name, line in contents.items()
                    ]
            for kind, of_kind in lines.items():
                if of_kind:
                    session.execute(insert(kind.__table__), of_kind)
        return found


def _check_writer(session: Session, study_id: int, writer: str) -> None:
    """Raises TakenOverError if another one writes the study. It writes itself, so that no other can
    begin to before the end of the transaction."""
    table = models.StudyUserAttributeModel
    mine = table.study_id == study_id, table.key == WRITER
    session.execute(update(table).where(*mine).values(key=WRITER))
    there = json.loads(session.scalar(select(table.value_json).where(*mine)) or "null")
    if there != writer:
        raise TakenOverError(there)


def _rows_of(
    session: Session, study_id: int, numbers: Sequence[int], *, newer_than: int
) -> dict[int, int]:
    """By number, the rows that trials have among those newer than a row."""
    table = models.TrialModel
    newer = select(table.number, table.trial_id).where(
        table.study_id == study_id, table.trial_id > newer_than, table.number.in_(numbers)
    )
    return {number: int(row) for number, row in session.execute(newer)}


def _contents(
    trial: FrozenTrial, parts: set[Part] | None
) -> dict[Any, dict[str | int, dict[str, Any]]]:
    """What `trial` holds, by table and key, or the given parts of it; attributes that others gave
    it stay."""

    def asked(kind: Any, names: Iterable[Any]) -> list[Any]:
        return [name for name in names if parts is None or (kind, name) in parts]

    stored = models.TrialValueModel.value_to_stored_repr
    found: dict[Any, dict[str | int, dict[str, Any]]] = {
        models.TrialParamModel: {
            name: {
                "param_value": trial.distributions[name].to_internal_repr(trial.params[name]),
                "distribution_json": distribution_to_json(trial.distributions[name]),
            }
            for name in asked(models.TrialParamModel, trial.distributions)
        },
        models.TrialValueModel: {
            objective: dict(zip(("value", "value_type"), stored(value), strict=True))
            for objective, value in enumerate(trial.values or ())
        },
    }
    for kind, attributes in (
        (models.TrialUserAttributeModel, trial.user_attrs),
        (models.TrialSystemAttributeModel, trial.system_attrs),
    ):
        found[kind] = {
            name: {"value_json": json.dumps(attributes[name])} for name in asked(kind, attributes)
        }
    return {kind: contents for kind, contents in found.items() if contents}
