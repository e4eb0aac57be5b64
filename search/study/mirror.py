"""A study in memory with its database behind it: reading is free, writing a whole trial at a time.
Optuna's own storage makes a transaction of every parameter and attribute, dozens a trial."""

# Of trials that are over, memory holds only what is asked for again; the database holds all.

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from results.record import ASKED_FOR

LAST_ROW = 2**31 - 1
READ_AT_ONCE = 500  # trials; Optuna's way of reading takes 50 KB of memory for each

# The tables of what a trial holds, and the column that names the part of it.
KEYS = {
    models.TrialParamModel: "param_name",
    models.TrialValueModel: "objective",
    models.TrialUserAttributeModel: "key",
    models.TrialSystemAttributeModel: "key",
}
Part = tuple[Any, str]  # of a trial: its table and name
WRITER = "writer"  # the study's attribute that says which `Mirror` may write its trials


class TakenOverError(Exception):
    """Another `Mirror` has been opened on the study since; the message says where."""


class StudyDatabase(RDBStorage):
    """Optuna's database, with trials also written as a whole and read a few at a time."""

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
        """Makes the database's trials of these numbers what is given, in one transaction; by number
        the row that each has. Raises StorageInternalError, and TakenOverError if the study's
        `WRITER` is not `writer`."""
        # `rows`: what is known of that, the newest last. `changed`: of trials with a known row, the
        # parts to write, else all. Doing it again changes nothing.
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
                    assert model is not None
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
        self._note(trial_id, (models.TrialParamModel, param_name))

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        done = super().set_trial_state_values(trial_id, state, values)
        self._note(trial_id)
        return done

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_user_attr(trial_id, key, value)
        self._note(trial_id, (models.TrialUserAttributeModel, key))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_system_attr(trial_id, key, value)
        self._note(trial_id, (models.TrialSystemAttributeModel, key))

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
