"""The study in memory and its database hold the same, at every moment and in few transactions."""

import sqlite3

import numpy as np
import optuna
import pytest
import sqlalchemy
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from results import pareto_front
from results.record import record_from_trial
from search.settings import SearchSettings
from search.study import database as database_module
from search.study.database import READ_AT_ONCE, StudyDatabase
from search.study.errors import StorageError
from search.study.ledger import Ledger
from search.study.mirror import Curve, Mirror, in_short, together
from search.study.storage import open_study
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
    """Whether memory holds what the database does, in short where a trial is over."""
    there = [in_short(trial, {}) if trial.state.is_finished() else trial for trial in read(folder)]
    return [as_told(t) for t in held(study)] == [as_told(t) for t in there]


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


def test_the_end_of_a_trial_does_not_write_again_what_was_there(tmp_path):
    study = open_study(tmp_path, "run", None)
    ledger = Ledger(study, settings(sampler="random"))
    live, statements = ledger.ask(), []
    before = live.trial.user_attrs
    sqlalchemy.event.listen(
        study._storage._database.engine, "before_cursor_execute",
        lambda connection, cursor, text, values, *_: statements.append((text, str(values))),
    )  # fmt: skip
    train(ledger, live, 0.5)
    ledger.complete(live.trial.number)
    writing = [(t, v) for t, v in statements if t.startswith(("INSERT", "DELETE"))]
    assert {t.split()[2] for t, _ in writing} == {"trial_user_attributes", "trial_values"}
    assert {"architecture", "flops"} <= set(before)
    assert not [name for name in before for _, values in writing if repr(name) in values]
    assert len(statements) < 10
    assert same(study, tmp_path)


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
        mirror._database.write_trials(mirror._there, trials, {}, {}, mirror._writer)
    rows = sqlite3.connect(tmp_path / "study.db").execute("SELECT number FROM trials").fetchall()
    assert rows == [(trial.number,) for trial in trials]
    assert same(study, tmp_path)


def test_no_other_writer_can_begin_between_the_check_and_the_write(tmp_path, monkeypatch):
    check, refused = database_module._check_writer, []

    def check_and_interfere(*words):
        check(*words)
        other = sqlite3.connect(tmp_path / "study.db", timeout=0.01)
        with pytest.raises(sqlite3.OperationalError, match="locked") as error:
            other.execute("UPDATE study_user_attributes SET value_json = '1' WHERE key = 'writer'")
        refused.append(error)

    study = open_study(tmp_path, "run", None)
    monkeypatch.setattr(database_module, "_check_writer", check_and_interfere)
    study.add_trial(create_trial(values=(0.5, 1.0)))
    assert refused
    assert same(study, tmp_path)


def test_a_study_attribute_is_not_written_by_a_search_that_was_taken_over(tmp_path):
    earlier = open_study(tmp_path, "run", None)
    later = open_study(tmp_path, "run", None)
    with pytest.raises(StorageError, match="gone on with elsewhere"):
        earlier.set_user_attr("finished", True)
    later.set_user_attr("finished", False)


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


def curve(epochs):
    return [
        {
            "epoch": number, "train_loss": 1.0 / number, "val_loss": 2.0 / number,
            "accuracy": 1.0 - 0.5**number, "seconds": 0.1, "images_per_second": 9.0,
        }
        for number in range(1, epochs + 1)
    ]  # fmt: skip


def finish(ledger, end):
    live = ledger.ask()
    for point in curve(5):
        ledger.report(live.trial.number, point)
    return end(live.trial.number)


def test_memory_holds_a_finished_trial_in_short_and_the_database_all_of_it(tmp_path):
    study = open_study(tmp_path, "run", None)
    ledger = Ledger(study, settings(sampler="random"))
    ends = (
        ledger.complete,
        ledger.stop,
        lambda number: ledger.fail(number, kind="nan", error="why", traceback="where"),
    )
    records = [finish(ledger, end) for end in ends]
    there = {r.trial: r for r in map(record_from_trial, read(tmp_path)) if r is not None}
    assert there == {record.trial: record for record in records}
    assert [record.traceback for record in records] == [None, None, "where"]
    again = open_study(tmp_path, "run", None)
    for memory in (study, again):
        for record in records:
            trial = memory.get_trials(deepcopy=False)[record.trial]
            assert not {"architecture", "traceback", "seconds"} & trial.user_attrs.keys()
            told = [(point["epoch"], point["accuracy"]) for point in trial.user_attrs["curve"]]
            assert told == [(epoch.epoch, epoch.accuracy) for epoch in record.curve]
            assert trial.user_attrs["curve"][-1] == curve(5)[-1]
        shared = {id(trial.distributions) for trial in memory.get_trials(deepcopy=False)}
        assert len(shared) == 1
    for known in (ledger, Ledger(again, settings(sampler="random"))):
        assert [(r.trial, r.architecture, r.accuracy, r.epochs) for r in known.finished] == [
            (r.trial, r.architecture, r.accuracy, r.epochs) for r in records
        ]
        assert [list(points) for _, _, points in known.curves()] == [
            [*({k: p[k] for k in ("epoch", "accuracy")} for p in curve(5)[:-1]), curve(5)[-1]]
        ] * 2
        assert known.network(records[0].trial).architecture == records[0].architecture


def test_what_is_held_in_short_is_never_written_back(tmp_path):
    study = open_study(tmp_path, "run", None)
    ledger = Ledger(study, settings(sampler="random"))
    record = finish(ledger, ledger.complete)
    before = list(map(as_told, read(tmp_path)))
    mirror, number = study._storage, record.trial
    gene, distribution = next(iter(DIGITS.genes)), study.trials[number].distributions
    for change in (
        lambda: mirror.set_trial_user_attr(number, "note", 1),
        lambda: mirror.set_trial_system_attr(number, "note", 1),
        lambda: mirror.set_trial_param(number, gene, 0, distribution[gene]),
        lambda: mirror.set_trial_state_values(number, TrialState.COMPLETE, (0.1, 1.0)),
        lambda: mirror.set_trial_intermediate_value(number, 1, 0.1),
    ):
        with pytest.raises(RuntimeError):
            change()
    with pytest.raises(TypeError):  # not even as a whole
        mirror._database.write_trials(
            mirror._there, [study.trials[number]], mirror._rows, {}, mirror._writer
        )
    ledger.release(ledger.ask().trial.number)
    assert list(map(as_told, read(tmp_path)))[: len(before)] == before


def test_a_trial_that_could_not_be_written_stays_whole_until_it_is(tmp_path):
    database = StudyDatabase(f"sqlite:///{tmp_path / 'study.db'}")
    optuna.create_study(storage=database, study_name="run", directions=["maximize", "minimize"])
    study = optuna.load_study(study_name="run", storage=Mirror(database, "run"))
    engine = database.engine
    ledger = Ledger(study, settings(sampler="random"))
    sqlalchemy.event.listen(engine, "checkout", lambda c, *_: c.execute("PRAGMA busy_timeout=10"))
    live = ledger.ask()
    ledger.report(live.trial.number, curve(1)[0])
    other = sqlite3.connect(tmp_path / "study.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(optuna.exceptions.StorageInternalError):
        ledger.complete(live.trial.number)
    assert "architecture" in study.trials[live.trial.number].user_attrs
    other.execute("ROLLBACK")
    assert ledger.ask() is not None
    written = record_from_trial(read(tmp_path)[live.trial.number])
    assert (written.state, written.architecture) == ("complete", live.architecture)
    assert "architecture" not in study.trials[live.trial.number].user_attrs
    assert same(study, tmp_path)


def test_a_study_is_read_a_part_at_a_time_and_whole(tmp_path):
    study = open_study(tmp_path, "run", None)
    with together(study):
        for number in range(READ_AT_ONCE + 3):
            study.enqueue_trial({"a": number})
    again = open_study(tmp_path, "run", None)
    database, there = again._storage._database, again._storage._there
    assert len(database.read_trials(there, after=-1)) == READ_AT_ONCE
    assert [t.system_attrs["fixed_params"]["a"] for t in held(again)] == list(
        range(READ_AT_ONCE + 3)
    )
    again.ask({"a": optuna.distributions.IntDistribution(0, 1000)})
    assert same(again, tmp_path)


def test_a_curve_in_short_reads_as_a_list_of_points():
    short = Curve(curve(3))
    assert [point["epoch"] for point in short] == [1, 2, 3]
    assert short[0] == short[-3] == {"epoch": 1, "accuracy": 0.5}
    assert short[2] == short[-1] == curve(3)[-1]
    assert short[-1:] == [curve(3)[-1]]
    assert list(Curve([])) == []
    with pytest.raises(IndexError):
        short[3]
