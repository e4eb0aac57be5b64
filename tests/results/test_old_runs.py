"""Run folders that version 0.1.0 wrote are read, reported, exported and gone on with.

A finished run, one that was interrupted in its second of three trials, and one in a space of
convolutional stems, Re-attention and pools, two of whose four trials failed.
"""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from command_line import call

from results import load_run, write_results, write_timm_folder
from search.commands import app
from space import SearchSpace, count_flops, count_params

OLD_RUNS = Path(__file__).parent.parent / "old_runs"
ASKED_AGAIN = 7  # the number of the trial that the interruption had put back
NAMES = ("plain", "interrupted", "failed")


@pytest.fixture
def old_run(tmp_path):
    """`old_run(name)`: a copy of a folder with its study, which the repository keeps as SQL."""

    def copied(name):
        folder = Path(shutil.copytree(OLD_RUNS / name, tmp_path / name))
        with closing(sqlite3.connect(folder / "study.db")) as database:
            database.executescript((folder / "study.sql").read_text(encoding="utf-8"))
        return folder

    return copied


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("plain", "finished, 6 of 6 trials: 6 complete, 0 stopped, 0 failed, 0 running"),
        (
            "interrupted",
            "not finished, 1 of 3 trials: 1 complete, 0 stopped, 0 failed, 0 running, 5 over",
        ),
        ("failed", "finished, 4 of 4 trials: 2 complete, 0 stopped, 2 failed, 0 running"),
    ],
)
def test_status_counts_its_trials(name, said, old_run, capsys):
    app.status(old_run(name))
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_report_writes_the_same_files_again(name, old_run):
    folder = old_run(name)
    names = ("frontier.json", "frontier.csv", "trials.csv")
    before = [(folder / name).read_bytes() for name in names]
    write_results(load_run(folder))
    assert [(folder / name).read_bytes() for name in names] == before
    assert (folder / "report.html").stat().st_size > 0


@pytest.mark.parametrize("name", NAMES)
def test_its_networks_cost_what_they_did_and_are_of_its_space(name, old_run):
    run = load_run(old_run(name))
    space = SearchSpace.from_dict(run.settings["space"])
    for record in run.records:
        network = record.architecture
        assert (count_flops(network), count_params(network)) == (record.flops, record.params)
        assert space.decode(space.encode(network)) == network


@pytest.mark.parametrize(("name", "trial"), [("plain", 4), ("failed", 3)])
def test_a_member_is_exported_with_its_weights(name, trial, old_run, tmp_path):
    import timm

    import space.model  # noqa: F401  registers vit_frontier

    folder = old_run(name)
    written = write_timm_folder(load_run(folder), trial, tmp_path / "model")
    assert {path.name for path in written} == {"model.safetensors", "config.json", "class_map.txt"}
    kept = folder / "weights" / f"{trial}.safetensors"
    assert written[0].read_bytes() == kept.read_bytes()
    timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True)


@pytest.mark.slow
def test_an_interrupted_one_is_resumed_with_the_trial_that_was_running(old_run):
    folder = old_run("interrupted")
    (before,) = load_run(folder).records
    with closing(sqlite3.connect(folder / "study.db")) as database:
        architecture = database.execute(
            "SELECT value_json FROM trial_user_attributes JOIN trials USING (trial_id) "
            "WHERE key = 'architecture' AND number = ?", (ASKED_AGAIN - 1,),
        ).fetchone()  # fmt: skip
    done = call("resume", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    run = load_run(folder)
    assert (run.finished, len(run.records), run.count("complete")) == (True, 3, 3)
    assert run.records[0] == before
    assert run.records[1].trial == ASKED_AGAIN
    again = before.architecture.from_dict(json.loads(architecture[0]))
    assert run.records[1].architecture == again


@pytest.mark.slow
def test_failed_trials_of_one_are_tried_again(old_run):
    folder = old_run("failed")
    before = load_run(folder).records
    done = call("retry", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    after = load_run(folder).records
    assert [record.state for record in after] == ["complete"] * 4
    assert [record for record in after if record.trial < len(before)] == [
        record for record in before if record.state == "complete"
    ]
    failed = [record.architecture for record in before if record.state == "failed"]
    assert [record.architecture for record in after[2:]] == failed
