"""The panel of a search on terminals of any width, and how long it says that is left."""

import dataclasses
import io
import json
import re
import time
from types import SimpleNamespace

import optuna
import pytest
from make_run import make_run
from rich.console import Console

from results import load_run
from search.settings import SearchSettings
from search.study.ledger import Ledger
from search.terminal.confirming import confirmed_table
from search.terminal.display import STOPPING, Display, front_table
from search.terminal.pace import Pace, running_lines
from space import SearchSpace


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    return load_run(make_run(tmp_path_factory.mktemp("runs") / "digits-2M")).front


def drawn(front, width):
    text = io.StringIO()
    Console(file=text, width=width).print(front_table(front, width=width))
    return text.getvalue()


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120])
def test_flops_and_accuracy_are_the_last_to_go(front, width):
    text = drawn(front, width)
    assert "…" not in text
    best = front[-1]
    assert f"{best.accuracy:.4f}" in text
    assert ("pools" in text) == (width > 80)
    assert all(len(line.rstrip()) <= width for line in text.splitlines())


@pytest.mark.parametrize("width", [30, 60, 80, 120])
def test_confirmed_means_are_never_cut(width):
    networks = [
        SimpleNamespace(
            record=SimpleNamespace(trial=trial, flops=124_096, accuracy=0.9826, baseline=None),
            mean=0.9896, std=0.0049, trainings=(1, 2), test_accuracy=0.9916, probability=0.97,
            role="member", is_confirmed=True, failed=0,
        )
        for trial in (8, 28)
    ]  # fmt: skip
    text = io.StringIO()
    found = SimpleNamespace(finished=True, networks=networks)
    Console(file=text, width=width).print(confirmed_table(found, width=width))
    assert "…" not in text.getvalue()
    assert "0.9896" in text.getvalue()
    assert "124.1K" in text.getvalue()


def test_a_test_accuracy_has_a_column_once_it_is_known(front):
    assert f"{front[-1].test_accuracy:.4f}" in drawn(front, 120)
    unknown = [dataclasses.replace(member, test_accuracy=None) for member in front]
    assert "test" not in drawn(unknown, 120)


def live(flops, epoch, began):
    return SimpleNamespace(flops=flops, began=began, curve=[{"epoch": epoch}] if epoch else [])


def test_what_is_left_is_told_by_flops(front, monkeypatch):
    monkeypatch.setattr("search.terminal.pace.time.monotonic", lambda: 100.0)
    pace = Pace(epochs=10)
    assert pace.left([live(1000, 0, 99.0)], 3) is None
    small = dataclasses.replace(front[0], flops=1000, seconds=2.0)
    curve = (dataclasses.replace(small.curve[-1], epoch=10),)
    pace.finished(dataclasses.replace(small, curve=curve))  # 10,000 FLOPs in 2 s
    assert pace.left([live(50_000, 0, 99.0)], 0) == pytest.approx(100.0)
    assert pace.left([live(50_000, 0, 99.0)], 10) == pytest.approx(120.0)
    two = [live(50_000, 0, 99.0), live(50_000, 0, 99.0)]
    assert pace.left(two, 0) == pytest.approx(100.0)
    assert pace.left([], 0) is None
    stopped = dataclasses.replace(small, curve=small.curve[:1], seconds=0.2)  # after one epoch
    pace.finished(stopped)
    assert pace.left([], 2) == pytest.approx(2 * 5500 * 2e-4 / 2)


@pytest.fixture
def jobs():
    study = optuna.create_study(directions=["maximize", "minimize"])
    settings = SearchSettings(budget=10**6, space=SearchSpace.load("digits"), time_limit=60.0)
    return Ledger(study, settings)


def test_ctrl_c_is_answered_within_a_second_and_nothing_is_said_to_be_left(jobs):
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=80)
    with Display(jobs, console) as display:
        jobs.live[0] = jobs.ask()
        display.update()
        assert "left" in display._counts()
        display.stopping()  # no step of the search follows
        time.sleep(0.8)
        assert STOPPING in text.getvalue()
        assert "left" not in display._counts()


def test_without_a_terminal_it_is_one_line(jobs, capfd):
    Display(jobs, Console(file=io.StringIO())).stopping()
    assert capfd.readouterr().err == f"{STOPPING}\n"


def test_a_worker_that_died_is_one_line_that_says_retry(jobs):
    text = io.StringIO()
    display = Display(jobs, Console(file=text, width=60))
    live = jobs.ask()
    display.finished(jobs.fail(live.trial.number, kind="crash", error="its worker died, twice"))
    (line,) = text.getvalue().splitlines()
    assert line.endswith(
        "failed: its worker died, twice; `vit-frontier retry runs/run` runs it again"
    )


def test_status_says_how_far_running_trials_are_and_how_long_the_rest_takes(tmp_path):
    run = load_run(make_run(tmp_path, running=2, finished=False))
    first, second = (r for r in run.records if r.state == "running")
    told = [{"of": "search", "event": "epoch", "trial": first.trial, "epoch": e} for e in (1, 5)]
    told.append({"of": "confirm", "event": "epoch", "trial": second.trial, "epoch": 3})
    (tmp_path / "events.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in told))
    lines = list(running_lines(run))
    assert lines[0].startswith(f"  trial {first.trial}: ")
    assert lines[0].endswith("FLOPs, epoch 5 of 12")
    assert lines[1].endswith("FLOPs, starting")
    assert re.fullmatch(r"  about .* left", lines[2])
    assert list(running_lines(dataclasses.replace(run, records=run.records[:3]))) == []


def test_a_running_line_ends_with_the_shape_of_the_network(jobs):
    line = Display(jobs, Console(file=io.StringIO()), epochs=30)._running(jobs.ask())
    assert re.fullmatch(r"trial 0: \S+ FLOPs, starting, .* s, \d+ blocks? of \d+", line)
