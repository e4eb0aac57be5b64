"""A run folder that version 0.1.0 wrote is read, reported and exported as it was then."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from results import load_run, write_results, write_timm_folder
from search.commands import app

OLD_RUNS = Path(__file__).parent.parent / "old_runs"


@pytest.fixture
def plain(tmp_path):
    """The folder with its study, which the repository keeps as SQL."""
    folder = Path(shutil.copytree(OLD_RUNS / "plain", tmp_path / "r1"))
    with closing(sqlite3.connect(folder / "study.db")) as database:
        database.executescript((folder / "study.sql").read_text(encoding="utf-8"))
    return folder


def test_status_counts_its_trials(plain, capsys):
    app.status(plain)
    assert "6 complete" in capsys.readouterr().out


def test_report_writes_the_same_files_again(plain):
    names = ("frontier.json", "frontier.csv", "trials.csv")
    before = [(plain / name).read_bytes() for name in names]
    write_results(load_run(plain))
    assert [(plain / name).read_bytes() for name in names] == before
    assert (plain / "report.html").stat().st_size > 0


def test_a_member_is_exported_with_its_weights(plain, tmp_path):
    written = write_timm_folder(load_run(plain), 4, tmp_path / "model")
    assert {path.name for path in written} == {"model.safetensors", "config.json"}
    assert written[0].read_bytes() == (plain / "weights" / "4.safetensors").read_bytes()
