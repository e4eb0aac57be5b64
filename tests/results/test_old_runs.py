"""Run folders that version 0.1.0 wrote are read, reported, exported and gone on with.

A finished run, one that was interrupted in its second of three trials, and one in a space of
convolutional stems, Re-attention and pools, two of whose four trials failed.
"""

import csv
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from command_line import call
from rich.console import Console

from results import load_run, write_results, write_timm_folder
from search.commands import app
from search.driver import forget_failures
from search.plan import plan_resume
from search.study.ledger import Ledger
from search.study.run_folder import keep_trials
from search.study.storage import open_study
from space import Architecture, SearchSpace, count_flops, count_params
from trainers import proxy_epochs

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


def columns(file):
    with file.open(newline="") as opened:
        return [list(column) for column in zip(*csv.reader(opened), strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_report_says_the_same_again_with_new_fields_behind(name, old_run):
    folder = old_run(name)
    frontier, tables = folder / "frontier.json", ("frontier.csv", "trials.csv")
    before, said = json.loads(frontier.read_text()), [columns(folder / name) for name in tables]
    write_results(load_run(folder))
    now = json.loads(frontier.read_text())
    points = [
        {field: point[field] for field in old}
        for point, old in zip(now["points"], before["points"], strict=True)
    ]
    assert {field: now[field] for field in before} | {"points": points} == before
    for name, old in zip(tables, said, strict=True):
        assert columns(folder / name)[: len(old)] == old
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
    names = {"model.safetensors", "config.json", "class_map.txt"}
    assert {path.name for path in written} == names | {"README.md", "modeling_vit_frontier.py"}
    kept = folder / "weights" / f"{trial}.safetensors"
    assert written[0].read_bytes() == kept.read_bytes()
    timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True)


def test_a_member_is_inspected_and_a_trial_without_weights_is_refused(old_run):
    run = old_run("plain")
    done = call("inspect", f"{run}:4", "--images", 16)
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "inspect-4.json").read_text())["images"] == 16
    assert (run / "inspect-4.svg").read_text().startswith("<svg")
    assert 'id="chart-maps-4"' in (run / "report.html").read_text()
    refused = call("inspect", run, "99")
    assert refused.returncode == 2
    assert "must be one whose weights are kept" in refused.stderr


def taken_up(folder):
    """What a resume makes of it before Ray starts: the plan and the ledger."""
    plan = plan_resume(folder, {}, Console(quiet=True))
    study = open_study(folder, keep_trials(folder, plan.settings.trials), None)
    return plan, Ledger(study, plan.settings)


def finish(plan, ledger):
    """Trains what is left in this process, as a worker does; the trials' numbers."""
    numbers = []
    while (live := ledger.ask()) is not None:
        numbers.append(live.trial.number)
        for epoch in proxy_epochs(
            live.architecture, plan.dataset, plan.recipe, seed=live.seed, device="cpu"
        ):
            ledger.report(live.trial.number, epoch)
        ledger.complete(live.trial.number)
    return numbers


def test_the_trial_that_was_interrupted_is_asked_first_and_finished_ones_stay(old_run):
    folder = old_run("interrupted")
    (before,) = load_run(folder).records
    was_running = network_of(folder, ASKED_AGAIN - 1)
    numbers = finish(*taken_up(folder))
    run = load_run(folder)
    assert (numbers[0], len(run.records), run.count("complete")) == (ASKED_AGAIN, 3, 3)
    assert run.records[0] == before
    assert run.records[1].architecture == was_running


def test_a_finished_one_can_have_another_trial(old_run):
    folder = old_run("plain")
    before = load_run(folder).records
    plan, ledger = taken_up(folder)
    assert ledger.ask() is None
    plan = plan_resume(folder, {"trials": 7}, Console(quiet=True))
    assert len(finish(plan, Ledger(ledger.study, plan.settings))) == 1
    after = load_run(folder).records
    assert after[:6] == before
    assert after[6].architecture not in [record.architecture for record in before]


def test_failed_trials_are_asked_again_as_they_were(old_run):
    folder = old_run("failed")
    before = load_run(folder).records
    assert forget_failures(folder) == 2
    finish(*taken_up(folder))
    went_on_as_it_should(before, load_run(folder).records)


def network_of(folder, number):
    """What the study says that a trial trained."""
    with closing(sqlite3.connect(folder / "study.db")) as database:
        (value,) = database.execute(
            "SELECT value_json FROM trial_user_attributes JOIN trials USING (trial_id) "
            "WHERE key = 'architecture' AND number = ?", (number,),
        ).fetchone()  # fmt: skip
    return Architecture.from_dict(json.loads(value))


def went_on_as_it_should(before, after):
    """Of a run with failures: the complete trials are what they were, the failed ones complete."""
    complete = [record for record in before if record.state == "complete"]
    failed = [record.architecture for record in before if record.state == "failed"]
    assert [record.state for record in after] == ["complete"] * 4
    assert list(after[:2]) == complete
    assert [record.architecture for record in after[2:]] == failed


@pytest.mark.slow
def test_an_interrupted_one_is_resumed_by_the_command(old_run):
    folder = old_run("interrupted")
    (before,) = load_run(folder).records
    was_running = network_of(folder, ASKED_AGAIN - 1)
    done = call("resume", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    run = load_run(folder)
    assert (run.finished, len(run.records), run.count("complete")) == (True, 3, 3)
    assert run.records[0] == before
    assert run.records[1].architecture == was_running


@pytest.mark.slow
def test_failed_trials_are_tried_again_by_the_command(old_run):
    folder = old_run("failed")
    before = load_run(folder).records
    done = call("retry", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    went_on_as_it_should(before, load_run(folder).records)
