"""Whole confirmations with a real Ray, through the command line as a user calls it."""

import hashlib
import json
import signal
import subprocess

import pytest
from command_line import call, command, launch, wait_for

from results import load_run

SEARCH = ("--budget", "1M", "--epochs", "1", "--train-samples", "128", "--workers", "1")


def digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "small"
    done = call("search", *SEARCH, "--trials", 5, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_a_confirmation_that_is_interrupted_goes_on_and_leaves_the_study_as_it_is(
    searched, tmp_path
):
    before = digest(searched / "study.db")
    log = tmp_path / "log"
    log.touch()
    words = ("confirm", searched, "--epochs", 2, "--workers", 1, "--seeds", 2, "--controls", 2)
    process = launch(log, *words)
    wait_for(log, "[2/", process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=300) == 130, log.read_text()
    assert f"go on by: vit-frontier confirm {searched}" in log.read_text()
    cut = load_run(searched)
    assert not cut.confirmed.finished
    trained = {t.seed for n in cut.confirmed.networks for t in n.trainings}
    assert len(trained) >= 2

    done = call("confirm", searched, "--workers", 1)
    assert done.returncode == 0, done.stderr
    run = load_run(searched)
    found = run.confirmed
    assert found.finished
    seeds = [t.seed for n in found.networks for t in n.trainings]
    assert trained <= set(seeds)
    assert len(set(seeds)) == len(seeds)
    assert not set(seeds) & {record.seed for record in run.records}
    assert all(1 <= len(n.trainings) <= 2 for n in found.networks)
    assert {t.epochs for n in found.networks for t in n.trainings} == {2}
    assert digest(searched / "study.db") == before
    values = json.loads((searched / "confirmed.json").read_text())
    assert values["options"] == {"seeds": 2, "controls": 2, "top": None, "epochs": 2}
    members = [n for n in values["networks"] if n["role"] == "member" or n["baseline"]]
    assert all(0 <= n["test_accuracy"] <= 1 for n in members)
    assert "Confirmed" in done.stdout
    assert 'id="confirmed"' in (searched / "report.html").read_text()

    again = call("confirm", searched)
    assert "Nothing is left to train" in again.stdout, again.stdout + again.stderr


@pytest.mark.slow
def test_a_search_with_confirm_does_both(tmp_path):
    out = tmp_path / "run"
    done = subprocess.run(
        command("search", *SEARCH, "--trials", 2, "--out", out, "--confirm", "--json"),
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)
    assert line["confirmed"]["finished"]
    run = load_run(out)
    assert {record.trial for record in run.front} <= run.confirmed.by_trial.keys()
