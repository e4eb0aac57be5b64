"""A search that is called: what is refused before anything is trained, and what run.json keeps."""

import functools
import sys

import pytest
from rich.console import Console

from search import plan
from search.plan import default_space, plan_search, read_changes, read_options, search
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

    monkeypatch.setattr(plan, "carry_out", ended)
    with pytest.raises(KeyboardInterrupt):
        plan._called(None, None, command=None)


def test_unknown_options_are_told():
    with pytest.raises(ValueError, match="Unknown option 'tials': did you mean 'trials'"):
        read_options({"budget": "2M", "tials": 3})
    with pytest.raises(ValueError, match="Unknown option 'seed': choose from trials"):
        read_changes({"seed": 3})


def test_default_space_fits_the_image_size():
    assert [default_space(size) for size in (8, 32, 64, 224)] == [
        "digits", "cifar", "cifar", "hvt_deit_tiny",
    ]  # fmt: skip


@pytest.mark.parametrize("also", [{"epochs": 5}, {"proxy": "fast"}])
def test_a_recipe_and_another_length_of_training_are_not_both_taken(also, monkeypatch):
    monkeypatch.setattr(plan, "_load", lambda *_: pytest.fail("read"))
    with pytest.raises(ValueError, match=r"must not be given beside `recipe`, .* 7: leave it out"):
        search("500K", recipe=Recipe(epochs=7), **also)


def test_a_cluster_is_not_reached_through_a_proxy(monkeypatch):
    monkeypatch.setattr(plan, "_load", lambda *_: pytest.fail("read"))
    with pytest.raises(ValueError, match=r"`--address` .*must be auto or host:port"):
        search("500K", address="ray://head:10001")
