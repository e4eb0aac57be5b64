"""results.run: a folder is read back, never written, and what is wrong with it is named."""

import json
import math
import random
import re
import sqlite3
import threading

import pytest
from make_run import add_trial, make_run, new_study, plain, run_json, trial_attrs

from results import hypervolume, load_run, pareto_front
from results.study_file import connect_read_only
from results.words import hide_password


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "a", running=2)


def test_every_trial_is_a_record_or_counted(folder):
    run = load_run(folder)
    states = [record.state for record in run.records]
    assert (run.name, run.path, run.finished) == ("digits-2M", folder, True)
    assert (states.count("complete"), states.count("stopped")) == (18 + 3, 4)
    assert (states.count("failed"), states.count("running")) == (2, 2)
    assert (run.over_budget, run.duplicates) == (3, 1)
    assert [r.baseline for r in run.records if r.baseline] == [
        "plain_d1_w16",
        "plain_d2_w32",
        "plain_d3_w48",
    ]


def test_front_and_hypervolume_are_measured_from_budget_and_guessing(folder):
    run = load_run(folder)
    assert run.reference_point == (2_000_000, 0.1)
    assert run.front == pareto_front(run.records)
    assert run.hypervolume == hypervolume(
        run.records, budget_flops=2_000_000, reference_accuracy=0.1
    )
    assert run.hypervolume > 0.5


def test_test_accuracy_comes_from_the_study(folder):
    best = load_run(str(folder)).front[-1]
    assert best.test_accuracy == pytest.approx(best.accuracy - 0.006, abs=1e-4)


def test_reading_changes_nothing_in_the_folder(folder):
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    load_run(folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_study_is_opened_without_the_right_to_write(folder):
    connection = connect_read_only(folder / "study.db")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("CREATE TABLE x (y)")
    connection.close()


def test_folder_name_may_hold_any_character(tmp_path):
    assert len(load_run(make_run(tmp_path / "a {0} b?c#d%20é", complete=1)).records) > 0


def test_study_is_readable_while_a_search_writes_it(tmp_path):
    folder = make_run(tmp_path, complete=2, running=1, finished=False)
    before = len(load_run(folder).records)

    def write():
        study = load_study(folder)
        rng = random.Random(1)
        for seed in range(40):
            attrs = trial_attrs(plain(2, 16), "complete", rng, 5, 10**6, seed=seed)
            add_trial(study, "complete", attrs)

    writer = threading.Thread(target=write)
    writer.start()
    seen = [before]
    while writer.is_alive():
        run = load_run(folder)
        assert all(r.curve for r in run.records if r.state == "complete")
        seen.append(len(run.records))
    writer.join()
    assert seen == sorted(seen)
    assert len(load_run(folder).records) == before + 40


def load_study(folder):
    import optuna

    return optuna.load_study(study_name="digits-2M", storage=f"sqlite:///{folder / 'study.db'}")


def test_write_ahead_log_is_read_before_it_is_merged(tmp_path):
    folder = make_run(tmp_path, complete=1)
    before = len(load_run(folder).records)
    connection = sqlite3.connect(folder / "study.db")
    connection.execute("PRAGMA journal_mode=WAL")
    study = load_study(folder)
    add_trial(
        study,
        "stopped",
        trial_attrs(plain(2, 16), "stopped", random.Random(0), 5, 10**6, seed=0),
    )
    assert (folder / "study.db-wal").exists()
    assert len(load_run(folder).records) == before + 1
    connection.close()


def test_study_of_another_storage_is_found_by_its_url(tmp_path):
    folder = make_run(tmp_path / "a", complete=2)
    expected = load_run(folder).records
    (folder / "study.db").rename(tmp_path / "elsewhere.db")
    settings = json.loads((folder / "run.json").read_text())
    settings["storage"] = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    (folder / "run.json").write_text(json.dumps(settings))
    assert load_run(folder).records == expected


def test_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="is not there: `vit-frontier search` prints the folder"):
        load_run(tmp_path / "nothing")


def test_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match=r"A run is a folder, but .* is a file"):
        load_run(tmp_path / "file")


def test_folder_of_runs_offers_the_runs_in_it(tmp_path):
    make_run(tmp_path / "mine", complete=0)
    with pytest.raises(ValueError, match=r"must hold run.json, .* give one of .*mine"):
        load_run(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"schema": 2}', "\udcff", "[" * 99999])
def test_broken_run_json_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ValueError, match=r"run\.json"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("budget_flops", 0, "`budget_flops` must be an integer from 1 to 1"),
        ("budget_flops", "2M", "000000, but got '2M'"),
        ("budget_flops", 10**400, "`budget_flops` must be an integer from 1 to 1"),
        ("name", None, "`name` must be a text, but got None"),
        ("storage", 0, "`storage` must be a text, but got 0"),
        ("schema", list(range(1000)), "must be a run description with `schema` 1, but has [0, 1"),
        ("data", {}, "`data.num_classes` must be an integer from 1 to 1000000, but got None"),
        ("data", 3, "`data.num_classes` must be an integer from 1 to 1000000, but got None"),
        ("data", {"num_classes": 10**400}, "`data.num_classes` must be an integer from 1 to"),
        ("data", {"num_classes": 2.0}, "`data.num_classes` must be an integer from 1 to"),
        ("data", {"num_classes": 2, "name": math.nan}, "`data.name` must be a text, but got nan"),
        ("data", {"num_classes": 2, "validation": 10**400}, "`data.validation` must be an integer"),
        ("data", {"num_classes": 2, "validation": "359"}, "`data.validation` must be an integer"),
        ("hardware", {"memory_bytes": 10**400}, "`hardware.memory_bytes` must be an integer"),
    ],
)
def test_impossible_setting_is_named(tmp_path, key, value, rule):
    settings = run_json("r", 10**6, 8, ["a", "b"], 3, 0)
    (tmp_path / "run.json").write_text(json.dumps({**settings, key: value}))
    with pytest.raises(ValueError, match=rf"run\.json.*{re.escape(rule)}"):
        load_run(tmp_path)


def test_number_of_too_many_digits_names_the_file(tmp_path):
    (tmp_path / "run.json").write_text('{"schema": 1, "seed": ' + "9" * 5000 + "}")
    with pytest.raises(ValueError, match=r"run\.json' must be readable JSON"):
        load_run(tmp_path)


def test_a_study_without_its_description_says_how_to_go_on(tmp_path):
    folder = make_run(tmp_path, complete=1)
    (folder / "run.json").unlink()
    with pytest.raises(ValueError, match=r"only study\.db: restore run\.json .* read by Optuna"):
        load_run(folder)


def test_description_of_another_version_is_refused(tmp_path):
    settings = run_json("r", 10**6, 8, ["a", "b"], 3, 0)
    (tmp_path / "run.json").write_text(json.dumps({**settings, "schema": 2}))
    with pytest.raises(ValueError, match="with `schema` 1, but has 2"):
        load_run(tmp_path)


def test_missing_study_is_named_and_not_created(tmp_path):
    folder = make_run(tmp_path, complete=0)
    (folder / "study.db").unlink()
    with pytest.raises(ValueError, match=r"study\.db', but the file is missing"):
        load_run(folder)
    assert not (folder / "study.db").exists()


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
def test_corrupt_study_is_named(tmp_path, content):
    folder = make_run(tmp_path, complete=0)
    (folder / "study.db").write_bytes(content)
    with pytest.raises(ValueError, match=r"study\.db' must be readable"):
        load_run(folder)


def test_truncated_study_is_named(tmp_path):
    folder = make_run(tmp_path, complete=30)
    content = (folder / "study.db").read_bytes()
    (folder / "study.db").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"study.db' must"):
        load_run(folder)


def test_study_of_another_name_is_named(tmp_path):
    folder = make_run(tmp_path, complete=0)
    (folder / "study.db").unlink()
    new_study(folder, "other")
    with pytest.raises(ValueError, match="must hold a study named 'digits-2M'"):
        load_run(folder)


def test_unreachable_storage_is_named_without_its_password(tmp_path):
    folder = make_run(tmp_path, complete=0, settings={"storage": "mysql+no://me:secret@host/db"})
    with pytest.raises(ValueError, match="must be readable") as error:
        load_run(folder)
    assert "secret" not in str(error.value)
    assert "me:***@host/db" in str(error.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me@corp:s3cret@host/db", "postgresql://me@corp:***@host/db"),
        ("postgresql://me:my s3cret@host/db", "postgresql://me:***@host/db"),
        ("mysql://h/db?user=me&passwd=s3cret&x=1", "mysql://h/db?user=me&passwd=***&x=1"),
        ("pg://h/db?sslPassword=s3cret", "pg://h/db?sslPassword=***"),
        ("x://:s3cret@h", "x://:***@h"),
        ("sqlite:////a/b.db?timeout=3", "sqlite:////a/b.db?timeout=3"),
    ],
)
def test_passwords_are_hidden_however_they_are_written(text, shown):
    assert hide_password(text) == shown


def test_passwords_are_hidden_and_other_text_is_kept():
    text = "--storage postgresql://u:p:w@h:5432/d --x a:b@c http://h/p"
    assert hide_password(text) == "--storage postgresql://u:***@h:5432/d --x a:b@c http://h/p"
