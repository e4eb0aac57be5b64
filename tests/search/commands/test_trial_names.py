"""A trial is named `RUN TRIAL`, `RUN:TRIAL` or `RUN:best`."""

import pytest
from command_line import call_here
from make_run import make_run

from results import load_run
from search.commands.trial_names import read_trial


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", complete=4, stopped=0, failed=0)


def test_a_trial_is_named_beside_its_run_or_with_it(run):
    best = max(load_run(run).front, key=lambda record: record.accuracy)
    for words in ((str(run), "3"), (f"{run}:3", None)):
        found, number, why = read_trial(*words)
        assert (found.path, number, why) == (run, 3, "")
    for words in ((str(run), "best"), (f"{run}:best", None)):
        found, number, why = read_trial(*words)
        assert number == best.trial
        assert f"trial {best.trial}, by its validation accuracy of {best.accuracy:.4f}" in why


def test_a_folder_with_a_colon_in_its_name_is_a_run(tmp_path):
    folder = make_run(tmp_path / "at:12", complete=2, stopped=0, failed=0)
    assert read_trial(f"{folder}", "1")[1] == read_trial(f"{folder}:1", None)[1] == 1
    with pytest.raises(ValueError, match=r"`TRIAL` must name a member of the frontier of .*at:12'"):
        read_trial(str(folder), None)


@pytest.mark.parametrize("name", ["", "x", "-1", "1.5", "\u0663", "9" * 13, "BEST"])
def test_what_is_no_trial_is_refused(name, run):
    for words in ((str(run), name), (f"{run}:{name}", None)):
        with pytest.raises(
            ValueError, match=r"`TRIAL` must be the number of a trial, or best, but"
        ):
            read_trial(*words)


def test_a_run_without_a_frontier_has_no_best(tmp_path):
    folder = make_run(tmp_path / "run", complete=0, stopped=0, failed=1, baselines=0)
    with pytest.raises(ValueError, match="must have a frontier to have a best member"):
        read_trial(f"{folder}:best", None)


def test_the_command_takes_either_form(run, monkeypatch, capsys):
    code, said = call_here(monkeypatch, capsys, "export", run)
    assert (code, "`TRIAL` must name a member" in said) == (2, True), said
    code, said = call_here(monkeypatch, capsys, "export", f"{run}:99")
    assert (code, "but got 99: choose one of" in said) == (2, True), said
