"""A search that is called: what is refused before anything is trained, and what run.json keeps."""

import dataclasses
import functools
import json
import re
import sys

import pytest
from command_line import call_here
from make_run import make_run
from rich.console import Console

from results import load_run
from results.write import frontier_json
from search import calls, plan
from search.calls import resume, search
from search.plan import (
    default_space,
    finished_already,
    plan_search,
    read_changes,
    read_options,
)
from search.terminal.messages import prospect
from search.terminal.pace import foreseen
from trainers import Recipe


def train(architecture, dataset, recipe, seed, report):
    """A training loop that a resume finds."""


class Loop:
    def __call__(self, architecture, dataset, recipe, seed, report):
        """A training loop that only its program has."""


def planned(tmp_path, **rest):
    asked = {"budget": "500K", "data": "digits", "out": str(tmp_path / "run")}
    return plan_search(asked, Console(quiet=True), claim=False, **rest)


@pytest.mark.parametrize(
    "wrong", ["nomodule:train", "json", ":", "json:nothing", "json:__name__", 5]
)
def test_a_training_loop_that_is_not_there_is_told_before_the_images_are_read(
    wrong, tmp_path, monkeypatch
):
    monkeypatch.setattr(plan, "_load", lambda *_: pytest.fail("read"))
    with pytest.raises(ValueError, match=r"`train` .*must be a function"):
        planned(tmp_path, train=wrong)


def test_a_training_loop_is_kept_where_a_resume_finds_it(tmp_path):
    here = {
        f"{__name__}:train": train,
        "given:Loop": Loop(),
        "given:partial": functools.partial(train),
        "json:dumps": "json:dumps",
    }
    for name, loop in here.items():
        assert planned(tmp_path, train=loop).settings.train == name


def test_a_training_loop_in_the_current_folder_is_found(tmp_path, monkeypatch):
    (tmp_path / "loop_of_mine.py").write_text("def train(*arguments): pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [p for p in sys.path if p not in ("", str(tmp_path))])
    assert planned(tmp_path, train="loop_of_mine:train").settings.train == "loop_of_mine:train"


def test_a_second_interruption_raises_for_a_program(monkeypatch):
    def ended(*arguments, **options):
        raise SystemExit(130)

    monkeypatch.setattr(calls, "carry_out", ended)
    with pytest.raises(KeyboardInterrupt):
        calls._called(None, None, command=None)


def test_unknown_options_are_told():
    with pytest.raises(ValueError, match="Unknown option 'tials': did you mean 'trials'"):
        read_options({"budget": "2M", "tials": 3})
    with pytest.raises(ValueError, match="Unknown option 'seed': choose from trials"):
        read_changes({"seed": 3})


def test_default_space_fits_the_image_size():
    assert [default_space(size) for size in (8, 32, 64, 224)] == [
        "digits_staged", "photos", "photos", "hvt_deit_tiny",
    ]  # fmt: skip


@pytest.mark.parametrize("also", [{"epochs": 5}, {"proxy": "fast"}])
def test_a_recipe_and_another_length_of_training_are_not_both_taken(also, monkeypatch):
    monkeypatch.setattr(plan, "_load", lambda *_: pytest.fail("read"))
    with pytest.raises(ValueError, match=r"must not be given beside `recipe`, .*: leave it out"):
        search("500K", recipe=Recipe(epochs=7), **also)


def test_a_cluster_is_not_reached_through_a_proxy(monkeypatch):
    monkeypatch.setattr(plan, "_load", lambda *_: pytest.fail("read"))
    with pytest.raises(ValueError, match=r"`--address` .*must be auto or host:port"):
        search("500K", address="ray://head:10001")


def test_a_space_for_larger_images_names_their_size(tmp_path):
    asked = {"budget": "2M", "space": "hvt_deit_tiny", "img_size": 32, "out": str(tmp_path / "run")}
    with pytest.raises(
        ValueError, match=r"'hvt_deit_tiny'.* give --img-size 224 or another --spac"
    ):
        plan_search(asked, Console(quiet=True), claim=False)


def test_a_dry_run_tells_what_fits_and_whether_the_budget_binds(tmp_path):
    asked = {"data": "digits", "out": str(tmp_path / "run")}
    said = {}
    for budget in ("2M", "1.3G"):
        ready = plan_search({**asked, "budget": budget}, Console(quiet=True), claim=False)
        said[budget] = "\n".join(prospect(ready.settings, ready.dataset, ready.recipe))
    assert "batch_size 64" in said["2M"]
    assert "Workers: as many as" in said["2M"]
    assert "does not bind" not in said["2M"]
    assert "The budget does not bind: the largest network drawn costs" in said["1.3G"]


def test_a_dry_run_foresees_how_long_the_search_takes(tmp_path):
    asked = {"data": "digits", "budget": "100K", "out": str(tmp_path / "run"), "trials": 30}
    said = []
    for workers in (1, 10):
        ready = plan_search({**asked, "workers": workers}, Console(quiet=True), claim=False)
        said.append(foreseen(ready))
    assert re.match(r"Time: about \S+ .* for a training of \S+K FLOPs on this machine", said[0])
    assert "for 30 trials by 1 worker, less" in said[0]
    assert "for 30 trials by 10 workers, less" in said[1]
    assert foreseen(dataclasses.replace(ready, train=print)) is None


@pytest.fixture
def finished(tmp_path):
    """A finished run of 24 trials whose search asked for as many."""
    folder = make_run(tmp_path / "run", stopped=3, failed=0, baselines=3)
    file = folder / "run.json"
    description = json.loads(file.read_text())
    description["settings"] = {"trials": 24}
    file.write_text(json.dumps(description))
    return folder


def test_a_finished_run_is_not_touched_by_a_resume_or_a_retry(finished, monkeypatch, capsys):
    before = {file: file.read_bytes() for file in finished.iterdir()}
    assert load_run(finished).trained == 24
    code, said = call_here(monkeypatch, capsys, "resume", finished, "--trials", 10)
    assert (code, "`--trials` (=10) must be more than the 24" in said) == (2, True)
    code, said = call_here(monkeypatch, capsys, "resume", finished)
    assert (code, "Nothing is left to train, 24 of 24 trials are done" in said) == (0, True)
    code, said = call_here(monkeypatch, capsys, "retry", finished)
    assert (code, "has no failed trials, so none runs again" in said) == (2, True)
    assert resume(finished).trained == 24
    code, said = call_here(monkeypatch, capsys, "status", finished)
    assert (code, "24 of 24 trials" in said) == (0, True)
    assert f"none is confirmed until vit-frontier confirm {finished}" in said
    assert {file: file.read_bytes() for file in finished.iterdir()} == before


def test_a_run_that_is_not_finished_goes_on(finished, tmp_path):
    assert finished_already(finished, {"trials": 25}) is None
    interrupted = make_run(tmp_path / "other", finished=False)
    assert finished_already(interrupted, {}) is None
    with pytest.raises(ValueError, match="must be more than the 27 that the run"):
        finished_already(interrupted, {"trials": 4})
    untested = make_run(tmp_path / "third", test_accuracy=False)
    assert finished_already(untested, {}) is None


@pytest.mark.parametrize("study", [None, b""])
def test_a_run_whose_study_was_not_made_goes_on(finished, study):
    """As when a disk fails while the search begins."""
    (finished / "study.db").unlink()
    if study is not None:
        (finished / "study.db").write_bytes(study)
    assert finished_already(finished, {}) is None


def test_the_flops_of_a_whole_frontier_ask_for_a_point(finished, monkeypatch, capsys):
    (finished / "frontier.json").write_text(frontier_json(load_run(finished)))
    best = load_run(finished).front[-1]
    for name in (finished, finished / "frontier.json"):
        code, said = call_here(monkeypatch, capsys, "flops", name)
        assert (code, f"name one of them, as {finished}:" in said) == (2, True)
    for name in (f"{finished}:{best.trial}", f"{finished}:best"):
        code, said = call_here(monkeypatch, capsys, "flops", name)
        assert (code, f"{best.flops:,} FLOPs" in said) == (0, True)
