"""A search that is to be confirmed at its end is, also where it was interrupted before."""

import json
import signal

import pytest
from command_line import call, launch, wait_for
from make_confirmed import make_confirmed
from make_run import make_run
from rich.console import Console

from results import load_run
from search.confirming import AFTER_SEARCH, is_to_be_confirmed
from search.plan import plan_resume, plan_search
from search.study.run_folder import new_run


@pytest.mark.parametrize(
    ("asked", "expected"), [(AFTER_SEARCH, True), (None, False), ("yes", False)]
)
def test_a_finished_search_is_to_be_confirmed_where_that_was_asked_for(asked, expected, tmp_path):
    run = load_run(make_run(tmp_path / "run", settings={"confirm": asked}))
    assert is_to_be_confirmed(run) == expected


def test_a_search_of_before_that_was_asked_for_is_not_to_be_confirmed(tmp_path):
    assert not is_to_be_confirmed(load_run(make_run(tmp_path / "run")))


@pytest.mark.parametrize("finished", [True, False])
def test_a_confirmation_that_is_over_does_not_begin_again(finished, tmp_path):
    folder = make_run(tmp_path / "run", settings={"confirm": AFTER_SEARCH})
    run = make_confirmed(folder, finished=finished)
    assert is_to_be_confirmed(run) != finished


@pytest.mark.parametrize("confirm", [AFTER_SEARCH, None])
def test_a_resume_knows_how_the_search_is_confirmed_at_its_end(confirm, tmp_path):
    console = Console(quiet=True)
    asked = {"budget": "500K", "data": "digits", "out": str(tmp_path / "run")}
    plan = plan_search(asked, console, claim=False)
    folder = new_run(plan.settings, plan.dataset, plan.recipe, ["x"], confirm=confirm)
    assert json.loads((folder / "run.json").read_text())["confirm"] == confirm
    assert plan_resume(folder, {}, console).confirm == confirm


@pytest.mark.slow
def test_a_search_interrupted_before_and_within_its_confirmation_ends_confirmed(tmp_path):
    out, log = tmp_path / "run", tmp_path / "log"
    words = ("--budget", "500K", "--train-samples", 128, "--epochs", 1, "--workers", 1)
    process = launch(log, "search", *words, "--trials", 4, "--confirm", "--out", out)
    wait_for(log, "[1/4]", process, seconds=900)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=900) == 130, log.read_text()
    assert "Confirming" not in log.read_text()

    process = launch(log, "resume", out)
    wait_for(log, "Confirming", process, seconds=900)
    wait_for(log, "training 1", process, seconds=900)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=900) == 130, log.read_text()
    cut = load_run(out)
    assert cut.finished
    assert not cut.confirmed.finished

    done = call("resume", out, "--json", timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["confirmed"]["finished"]
    assert load_run(out).confirmed.options["seeds"] == AFTER_SEARCH["seeds"]
    assert "Nothing is left to train" in call("resume", out, timeout=900).stdout
