"""The study in memory and its database hold the same, at every moment and in few transactions."""

import sqlite3

import numpy as np
import optuna
import pytest
import sqlalchemy
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from results import pareto_front
from search.driver import open_study
from search.ledger import Ledger
from search.mirror import Mirror, StudyDatabase, together
from search.settings import SearchSettings
from space import SearchSpace

DIGITS = SearchSpace.load("digits")


def settings(**changes):
    return SearchSettings(**{"budget": 400_000, "space": DIGITS, "trials": 12, **changes})


def read(folder):
    """The trials as another process sees them, by Optuna's own reading."""
    storage = RDBStorage(f"sqlite:///{folder / 'study.db'}")
    return optuna.load_study(study_name="run", storage=storage).get_trials()


def held(study):
    return study.get_trials()


def as_told(trial):
    """All of a trial but the number of its row."""
    names = (
        "number", "state", "params", "distributions", "values", "user_attrs", "system_attrs",
        "datetime_start", "datetime_complete", "intermediate_values",
    )  # fmt: skip
    return {name: getattr(trial, name) for name in names}


def same(study, folder):
    return list(map(as_told, held(study))) == list(map(as_told, read(folder)))


def train(ledger, live, accuracy):
    point = {"epoch": 1, "train_loss": 1.0, "val_loss": 1.0, "accuracy": accuracy}
    ledger.report(live.trial.number, {**point, "seconds": 0.1, "images_per_second": 9.0})


@pytest.mark.parametrize("sampler", ["random", "nsga2", "frontier"])
def test_the_database_holds_what_the_study_in_memory_holds_after_every_step(sampler, tmp_path):
    study = open_study(tmp_path, "run", None)
    ledger = Ledger(study, settings(sampler=sampler))
    ledger.enqueue(DIGITS.smallest(), "plain")
    assert same(study, tmp_path)
    ends = [
        lambda number: ledger.complete(number),
        lambda number: ledger.stop(number),
        lambda number: ledger.fail(number, kind="nan", error="é\x00", traceback="..."),
        lambda number: ledger.release(number),
    ]
    for end in ends:
        live = ledger.ask()
        assert same(study, tmp_path)
        train(ledger, live, 0.5)
        end(live.trial.number)
        assert same(study, tmp_path)
    states = {trial.user_attrs.get("state") for trial in held(study)}
    assert {"complete", "stopped", "failed", "interrupted"} <= states
    again = open_study(tmp_path, "run", None)
    assert list(map(as_told, held(again))) == list(map(as_told, held(study)))


def test_an_ask_is_one_transaction_whatever_it_rejects_and_so_is_an_end(tmp_path):
    study = open_study(tmp_path, "run", None)
    ledger = Ledger(study, settings(sampler="random"))
    commits = []
    engine = study._storage._database.engine
    sqlalchemy.event.listen(engine, "commit", lambda connection: commits.append(1))
    asked = ended = 0
    for _ in range(6):
        live = ledger.ask()
        asked, commits[:] = max(asked, len(commits)), []
        train(ledger, live, 0.5)
        ledger.complete(live.trial.number)
        ended, commits[:] = max(ended, len(commits)), []
    assert ledger.over_budget > 0
    assert (asked, ended) == (1, 1)


def test_outside_of_together_every_write_is_on_disk_at_once(tmp_path):
    study = open_study(tmp_path, "run", None)
    trial = study.ask()
    trial.set_user_attr("a", [1, float("inf")])
    assert same(study, tmp_path)
    with together(study):
        trial.set_user_attr("a", 2)
        assert not same(study, tmp_path)
    assert same(study, tmp_path)


def test_a_write_whose_answer_was_lost_is_done_again_without_a_second_trial(tmp_path):
    study = open_study(tmp_path, "run", None)
    ledger = Ledger(study, settings(sampler="random"))
    ledger.ask()
    mirror = study._storage
    trials = mirror.get_all_trials(study._study_id, deepcopy=False)
    for _ in range(2):
        mirror._database.write_trials(mirror._there, trials, {})
    rows = sqlite3.connect(tmp_path / "study.db").execute("SELECT number FROM trials").fetchall()
    assert rows == [(trial.number,) for trial in trials]
    assert same(study, tmp_path)


def test_a_failed_write_is_made_up_for_by_the_next(tmp_path):
    database = StudyDatabase(f"sqlite:///{tmp_path / 'study.db'}")
    optuna.create_study(storage=database, study_name="run")
    study = optuna.load_study(study_name="run", storage=Mirror(database, "run"))
    trial, engine = study.ask(), database.engine
    sqlalchemy.event.listen(engine, "checkout", lambda c, *_: c.execute("PRAGMA busy_timeout=10"))
    other = sqlite3.connect(tmp_path / "study.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(optuna.exceptions.StorageInternalError):
        trial.set_user_attr("a", 1)
    other.execute("ROLLBACK")
    trial.set_user_attr("b", 2)
    assert same(study, tmp_path)
    assert read(tmp_path)[0].user_attrs == {"a": 1, "b": 2}


def test_what_others_wrote_beside_a_trial_stays(tmp_path):
    study = open_study(tmp_path, "run", None)
    trial = study.ask()
    other = RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    other.set_trial_user_attr(study._storage._rows[0], "note", "mine")
    trial.set_user_attr("a", 1)
    study.tell(trial, (0.5, 1.0))
    assert read(tmp_path)[0].user_attrs == {"note": "mine", "a": 1}
    assert read(tmp_path)[0].state == TrialState.COMPLETE


def test_two_studies_of_one_database_keep_apart(tmp_path):
    database = StudyDatabase(f"sqlite:///{tmp_path / 'study.db'}")
    studies = []
    for name in ("run", "other"):
        optuna.create_study(storage=database, study_name=name)
        studies.append(optuna.load_study(study_name=name, storage=Mirror(database, name)))
    for study in (*studies, *studies):
        study.add_trial(create_trial(value=len(held(study))))
    assert same(studies[0], tmp_path)
    assert [trial.value for trial in held(studies[1])] == [0, 1]
    assert [trial.number for trial in read(tmp_path)] == [0, 1]


def test_the_front_is_that_of_all_records_at_every_moment(tmp_path):
    wide = settings(sampler="random", trials=20, budget=2_000_000)
    ledger = Ledger(open_study(tmp_path, "run", None), wide)
    while (live := ledger.ask()) is not None:
        train(ledger, live, round(np.log10(live.flops) / 10 + live.flops % 7 / 50, 2))
        ledger.complete(live.trial.number)
        assert ledger.front == pareto_front(ledger.finished)
    assert len(ledger.front) > 1
    again = Ledger(open_study(tmp_path, "run", None), wide)
    assert again.front == ledger.front
