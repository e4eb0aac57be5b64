"""Loggers of others, offline: a trial is a run of theirs with its epochs, and missing ones are
told."""

import sqlite3

import pytest
from event_files import read_events

from search.logs.events import events_told
from search.logs.loggers import MODULES, require
from search.settings import LOGGERS, SearchSettings
from space import SearchSpace

STARTED = {"event": "started", "trial": 3, "flops": 1000, "seed": 7, "architecture": {"depth": 2}}
EPOCHS = [
    {"event": "epoch", "trial": 3, "epoch": number, "accuracy": number / 10, "val_loss": None}
    for number in (1, 2)
]
FINISHED = {"event": "finished", "trial": 3, "accuracy": 0.2}


def told(folder, name):
    said = []
    with events_told(folder, "search", (name,), said.append) as tell:
        for event in (STARTED, *EPOCHS, FINISHED, STARTED | {"trial": 4}):
            tell(event)
    assert said == []


def test_every_logger_has_an_adapter_and_an_extra(request):
    assert tuple(MODULES) == LOGGERS
    extras = (request.config.rootpath / "pyproject.toml").read_text()
    assert all(f"\n{name} = [" in extras for name in LOGGERS)


def test_a_logger_that_is_not_installed_is_told_with_its_extra(monkeypatch):
    monkeypatch.setitem(MODULES, "wandb", "nowhere_at_all")
    with pytest.raises(ValueError, match=r"`--log` \(=wandb\) must be .*'vit-frontier\[wandb\]'"):
        require(["wandb"])


def test_another_logger_is_none():
    space = SearchSpace.load("digits")
    assert SearchSettings(budget=10**6, space=space, log="wandb,mlflow").loggers == (
        "wandb", "mlflow",
    )  # fmt: skip
    with pytest.raises(ValueError, match="`--log` must be some of tensorboard, wandb"):
        SearchSettings(budget=10**6, space=space, log="comet")


def test_tensorboard_has_a_folder_a_trial(tmp_path):
    told(tmp_path, "tensorboard")
    found, _ = read_events(tmp_path / "tensorboard" / "search" / "trial-3")
    points = [(step, round(value, 3)) for name, step, value in found if name == "accuracy"]
    assert points == [(1, 0.1), (2, 0.2)]


def test_mlflow_has_a_run_a_trial_in_the_run_folder(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    told(tmp_path, "mlflow")
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        runs = dict(database.execute("select name, status from runs"))
        points = list(database.execute("select step, value from metrics where key = 'accuracy'"))
    assert runs == {"trial 3": "FINISHED", "trial 4": "KILLED"}
    assert sorted(points) == [(1, 0.1), (2, 0.2)]


def test_wandb_is_offline_in_the_run_folder(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    told(tmp_path, "wandb")
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    assert list(run.glob("*.wandb"))


def test_trackio_has_a_project_on_this_machine(tmp_path, monkeypatch):
    pytest.importorskip("trackio")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    told(tmp_path, "trackio")
    assert list((tmp_path / "trackio").iterdir())
