"""A database that is away: waited for, said to be, and given up in one sentence."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy
from optuna.exceptions import StorageInternalError

from search.study import patience
from search.study.database import TakenOverError
from search.study.errors import StorageError
from search.study.patience import Patience, PatientDatabase

AWAY = sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception("server closed the connection"))


class Database:
    """Raises the given errors in turn, then answers."""

    def __init__(self, *errors):
        self.errors, self.calls = list(errors), 0

    def read(self, word):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return word


def patient(database, **options):
    said = []
    options = {"say": said.append, **options}
    explain = lambda cause: StorageError(f"explained: {cause}")  # noqa: E731
    return PatientDatabase(database, Patience(**options), explain, Path("run")), said


def test_a_short_outage_is_waited_for_without_a_word():
    wrapped, said = patient(Database(AWAY))
    assert wrapped.read("answer") == "answer"
    assert said == []


def test_pauses_double_up_to_the_longest(monkeypatch):
    pauses = []
    monkeypatch.setattr(PatientDatabase, "_sleep", lambda self, seconds: pauses.append(seconds))
    wrapped, _ = patient(Database(*[AWAY] * 7))
    assert wrapped.read("answer") == "answer"
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_a_longer_outage_is_told_once_and_so_is_its_end(monkeypatch):
    monkeypatch.setattr(patience, "SILENT_SECONDS", 0.2)
    wrapped, said = patient(Database(*[AWAY] * 4))
    assert wrapped.read("answer") == "answer"
    assert [text.partition(" (")[0].partition(",")[0] for text in said] == [
        "The study's storage does not answer",
        "The study's storage answers again",
    ]
    assert "(server closed the connection): waiting for it, at most 10 min ..." in said[0]


def test_an_outage_that_does_not_end_is_given_up_and_from_then_on_at_once():
    database = Database(*[AWAY] * 99)
    wrapped, _ = patient(database, seconds=0.5)
    for _ in range(2):
        with pytest.raises(StorageError, match=r"not answered for 0 min \(server closed .* resume"):
            wrapped.read("answer")
    assert 3 <= database.calls <= 4  # after 0, 0.1, 0.3 and 0.7 s


def test_an_interrupted_wait_ends_and_says_how_to_go_on():
    wrapped, _ = patient(Database(AWAY), interrupted=lambda: True)
    with pytest.raises(StorageError, match=r"Interrupted while .* resume run") as ended:
        wrapped.read("answer")
    assert ended.value.interrupted


def test_what_waiting_does_not_help_is_explained_at_once():
    refused = StorageInternalError("Optuna's words")
    refused.__cause__ = sqlalchemy.exc.ProgrammingError("SELECT 1", {}, Exception("no such table"))
    broken = sqlite3.DatabaseError("malformed")
    for error in (refused, sqlalchemy.exc.DatabaseError("SELECT 1", {}, broken)):
        database = Database(error)
        with pytest.raises(StorageError, match=r"explained: .*(no such table|malformed)"):
            patient(database)[0].read("answer")
        assert database.calls == 1


def test_another_writer_ends_it_and_other_errors_are_the_callers():
    wrapped, _ = patient(Database(TakenOverError("process 7 of a host")))
    with pytest.raises(StorageError, match=r"gone on with elsewhere \(process 7 of a host\)"):
        wrapped.read("answer")
    wrapped, _ = patient(Database(KeyError("no study")))
    with pytest.raises(KeyError, match="no study"):
        wrapped.read("answer")
