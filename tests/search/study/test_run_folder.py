"""A run folder that was moved, replaced, linked elsewhere or is gone in part."""

import contextlib
import dataclasses
import json
import shlex
import sqlite3
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import ENVIRONMENT, ROOT, call_here, command
from make_run import make_run
from safetensors.torch import save

from results import load_run
from results.study_file import NoStudyError
from search.cluster import doctor, worker
from search.cluster.connect import refuse_ray_client
from search.cluster.recorder import Recorder
from search.cluster.tune import Stop
from search.plan import finished_already
from search.settings import SearchSettings
from search.study.description import describe_data
from search.study.errors import StorageError
from search.study.run_folder import (
    check_same_data,
    claim_run_folder,
    discard_unbegun,
    keep_trials,
    keep_weights,
    new_run,
    new_run_folder,
    only_driver,
    refuse_existing_run,
)
from search.study.storage import absolute_url, open_study
from space import SearchSpace, build_model
from trainers import Recipe, load_dataset


@pytest.fixture
def run(tmp_path):
    folder = make_run(tmp_path / "run", complete=2, stopped=0, failed=0)
    (folder / "trials.csv").touch()
    return folder


@pytest.mark.parametrize("study", ["gone", "empty", "of another name"])
def test_a_run_whose_study_is_lost_does_not_start_over(study, run):
    name = "digits-2M"
    if study == "of another name":
        name = "another"
    else:
        (run / "study.db").unlink()
    if study == "empty":
        (run / "study.db").touch()
    with pytest.raises(ValueError, match=r"has trials\.csv, must hold its trials.*restore it"):
        open_study(run, name, None)
    if study == "gone":
        assert not (run / "study.db").exists()


def test_a_run_that_was_ended_before_its_first_trial_goes_on(tmp_path):
    assert open_study(tmp_path, "run", None).trials == []
    assert open_study(tmp_path, "run", None).trials == []


@pytest.mark.parametrize("made", [0, 1, 5, 13, 14, 15])
def test_a_run_that_was_ended_as_its_study_was_made_goes_on(made, tmp_path):
    """Of 15 statements, and the two rows that say which version the tables are of."""
    run = make_run(tmp_path, complete=0)
    with contextlib.closing(sqlite3.connect(run / "study.db")) as whole:
        made_by = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
        statements = [sql for (sql,) in whole.execute(made_by)]
    assert len(statements) == 15
    (run / "study.db").unlink()
    with contextlib.closing(sqlite3.connect(run / "study.db")) as part:
        for sql in statements[:made]:
            part.execute(sql)
    with pytest.raises(NoStudyError, match=r"tables are not all made .* resume"):
        load_run(run)
    assert finished_already(run, {}) is None
    open_study(run, "digits-2M", None)
    assert load_run(run).records == ()


@pytest.mark.parametrize("instead", ["a text", "a folder"])
def test_something_else_as_study_is_not_called_a_lack_of_rights(instead, run):
    (run / "study.db").unlink()
    if instead == "a text":
        (run / "study.db").write_text("no study" * 200)
    else:
        (run / "study.db").mkdir()
    with pytest.raises(StorageError, match=r"must be the file that the search wrote.*restore it"):
        open_study(run, "digits-2M", None)


def test_a_relative_database_is_the_same_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_url("sqlite:///a.db") == f"sqlite:///{tmp_path}/a.db"
    for kept in (
        f"sqlite:///{tmp_path}/a.db",
        "postgresql://me:secret@host/a",
        "no url",
        "sqlite://",
    ):
        assert absolute_url(kept) == kept


def test_the_lock_is_not_taken_through_a_link(tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    run = tmp_path / "run"
    run.mkdir()
    (run / ".lock").symlink_to("../notes.txt")
    with pytest.raises(StorageError), only_driver(run):
        pass
    assert (tmp_path / "notes.txt").read_text() == "notes"


def recorder(folder, *, finished=()):
    trained = [SimpleNamespace(trial=n) for n in finished]
    ledger = SimpleNamespace(front=[], finished=trained, kept=set)
    return Recorder(
        ledger, Stop(ledger, None), weights=folder, silence=1.0, starting=dict, on_finished=print,
        batch_size=64,
        on_step=print, say=print,
    )  # fmt: skip


def test_weights_do_not_leave_the_run_folder_and_no_foreign_file_is_deleted(tmp_path):
    elsewhere, run = tmp_path / "elsewhere", tmp_path / "run"
    elsewhere.mkdir()
    run.mkdir()
    (run / "weights").symlink_to(elsewhere)
    with pytest.raises(StorageError, match="a link out of the run folder"):
        keep_weights(run / "weights", 1, np.zeros(3, np.uint8))
    assert not list(elsewhere.iterdir())
    for name in ("mine", "7", "8"):
        (elsewhere / f"{name}.safetensors").touch()
    recorder(elsewhere, finished=[8, 9])._drop_dominated_weights()
    assert sorted(file.stem for file in elsewhere.iterdir()) == ["7", "mine"]


def test_weights_that_are_broken_or_of_another_network_are_named_and_the_others_tested():
    space, data = SearchSpace.load("digits"), load_dataset("digits")
    smallest = space.smallest()
    larger = smallest.replace(depth=smallest.depth + 1)
    whole = save(build_model(smallest).state_dict())
    members = [(n, smallest.to_dict(), b) for n, b in enumerate([b"junk", whole])]
    members.append((2, larger.to_dict(), whole))
    found = worker.TestSplitReader(gpus=0.0).accuracies(
        members, data.test_images, data.test_labels, mean=data.mean, std=data.std
    )
    assert isinstance(found[1], float)
    assert isinstance(found[0], str)
    assert "Missing key" in found[2]


def test_other_images_of_the_same_number_are_not_gone_on_with(tmp_path):
    data = load_dataset("digits")
    before = {
        "img_size": 8, "class_names": list(data.class_names), "train": len(data.train_labels),
        "validation": len(data.val_labels),
    }  # fmt: skip
    check_same_data(tmp_path, before, data)  # of an older version
    before |= {"fingerprint": data.fingerprint(), "brightness": data.brightness()}
    check_same_data(tmp_path, before, data)
    other = dataclasses.replace(data, val_images=data.val_images[::-1].copy())
    with pytest.raises(ValueError, match="as many other images are there"):
        check_same_data(tmp_path, before, other)
    other = dataclasses.replace(data, val_labels=data.val_labels[::-1].copy())
    with pytest.raises(ValueError, match="`fingerprint` was"):
        check_same_data(tmp_path, before, other)


def test_a_study_that_lost_its_description_is_not_written_over(tmp_path):
    (tmp_path / "study.db").touch()
    with pytest.raises(ValueError, match=r"study\.db whose run\.json is lost: restore run\.json"):
        refuse_existing_run(tmp_path)


def test_a_run_folder_is_named_after_data_and_budget_and_never_reused(tmp_path):
    first = new_run_folder("/some/where/My flowers!", 1_300_000_000, tmp_path)
    assert first == tmp_path / "My-flowers-1.3G"
    first.mkdir()
    assert new_run_folder("My flowers!", 1_300_000_000, tmp_path).name == "My-flowers-1.3G-2"
    assert new_run_folder("../..", 5, tmp_path).parent == tmp_path


def test_more_trials_are_asked_for_from_then_on(run):
    before = json.loads((run / "run.json").read_text())
    assert keep_trials(run, 99) == before["name"]
    before["settings"]["trials"] = 99
    assert json.loads((run / "run.json").read_text()) == before


@pytest.mark.parametrize("option", ["--out", "--data"])
def test_a_name_that_is_no_utf8_is_refused(option, monkeypatch, capsys):
    code, said = call_here(monkeypatch, capsys, "search", "--budget", "2M", option, "x\udcff")
    assert code == 2
    assert f"`{option}` must be a name in UTF-8" in said


def test_ray_client_is_refused_however_it_is_spelled():
    with pytest.raises(ValueError, match="host:port"):
        refuse_ray_client("RAY://head:10001")


def test_the_doctor_looks_into_the_folder(tmp_path):
    finding = doctor._look_at_folder(str(tmp_path))
    assert "must hold images by class" in finding.fix
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").touch()
    finding = doctor._look_at_folder(str(tmp_path))
    assert finding.fix is None
    assert "2 images of 2 classes" in finding.what


def test_of_two_searches_in_one_folder_the_later_one_leaves_the_first_alone(run):
    first = json.loads((run / "run.json").read_text())
    settings = SearchSettings.from_dict(
        {"budget": 2_000_000, "space": SearchSpace.load("digits").to_dict(), "out": str(run)}
    )
    data = load_dataset("digits")
    with only_driver(run):  # it began between the other's first look and its writing
        with pytest.raises(ValueError, match="one search at a time"):
            new_run(settings, data, Recipe(), [])
        empty = study_without_trials(run)
        discard_unbegun(run)
    assert empty.exists()
    assert json.loads((run / "run.json").read_text()) == first
    with pytest.raises(ValueError, match="already holds a run"):
        new_run(settings, data, Recipe(), [])
    discard_unbegun(run)
    assert not empty.exists()


def study_without_trials(run):
    """Instead of the study of a run: one in which nothing was trained yet."""
    (run / "study.db").unlink()
    (run / "trials.csv").unlink()
    open_study(run, "digits-2M", None)
    return run / "study.db"


def test_searches_that_begin_together_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    claimed = [claim_run_folder("digits", 2_000_000) for _ in range(3)]
    assert [folder.name for folder in claimed] == ["digits-2M", "digits-2M-2", "digits-2M-3"]
    assert all(folder.is_dir() for folder in claimed)


def test_a_study_that_lacks_a_trial_is_not_renumbered(run):
    with sqlite3.connect(run / "study.db") as database:
        database.execute("DELETE FROM trials WHERE number = 1")
    database.close()
    with pytest.raises(ValueError, match=r"lacks trial 1, which was deleted: restore it"):
        open_study(run, "digits-2M", None)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("search", "--budget", "2M", "--data", ""), "`--data` must be digits"),
        (("search", "--budget", "2M", "--out", "x" * 300), "File name too long"),
        (("status", "x" * 300), "File name too long"),
        (("search", "--budget", "2M", "--storage", "sqlite:///t.db?timeout=a"), "options that can"),
    ],
)
def test_names_that_cannot_be_are_wrong_use(words, text, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, said = call_here(monkeypatch, capsys, *words)
    assert (code, text in said) == (2, True), said


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.slow)])
def test_a_terminal_without_utf8_shows_what_it_can(encoding, run):
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": encoding}
    shown = subprocess.run(
        command("status", run), cwd=ROOT, env=environment, capture_output=True, check=False
    )
    assert (shown.returncode, b" complete" in shown.stdout) == (0, True), shown


@pytest.mark.parametrize("closed", ["stdout", pytest.param("stderr", marks=pytest.mark.slow)])
def test_nobody_need_listen(closed, run):
    words = " ".join(map(shlex.quote, command("search", "--budget", "2M", "--dry-run", "--json")))
    number = {"stdout": 1, "stderr": 2}[closed]
    shown = subprocess.run(
        ["sh", "-c", f"{words} {number}>&-"], cwd=ROOT, env=ENVIRONMENT, capture_output=True,
        check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown


def test_the_images_are_resized_to_what_a_space_of_ones_own_says(monkeypatch, capsys, tmp_path):
    space = tmp_path / "mine.toml"
    space.write_text(
        "img_size = [16]\npatch_size = [4]\nembed_dim = [16]\ndepth = [1]\nhead_dim = [8]\n"
    )
    words = ("search", "--budget", "2M", "--space", space, "--dry-run")
    assert "16 pixels" in call_here(monkeypatch, capsys, *words)[1]
    assert "8 pixels" in call_here(monkeypatch, capsys, *words, "--img-size", 8)[1]


def test_a_file_that_workers_would_take_for_the_package_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.py").write_text("x = 1")
    code, said = call_here(monkeypatch, capsys, "search", "--budget", "2M", "--trials", 1)
    assert code == 2
    assert "The current folder must not hold space.py" in said
    assert not (tmp_path / "runs" / "digits-2M").exists()


def test_run_json_names_the_files_that_were_left_out():
    digits = load_dataset("digits")
    assert "skipped_files" not in describe_data(digits)
    one = dataclasses.replace(digits, skipped=(("a/caf\udce9.png", "empty"),))
    assert describe_data(one)["skipped_files"] == ["a/caf?.png: empty"]
