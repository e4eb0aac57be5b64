"""What may be asked of a search's recipe, and what run.json then keeps."""

import json

import pytest
from command_line import call_here
from rich.console import Console

from search import calls, plan
from search.plan import plan_resume, plan_search
from search.recipe import RecipeOptions
from search.study.run_folder import new_run
from trainers import Recipe


def planned(tmp_path, **asked):
    known = {"budget": "500K", "data": "digits", "out": str(tmp_path / "run")}
    return plan_search({**known, **asked}, Console(quiet=True), claim=False)


def test_single_options_win_over_a_file_and_a_file_over_the_tuned_defaults(tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_text('learning_rate = 1e-3\nweight_decay = 0.1\nlearning_rate_size = "none"\n')
    recipe = planned(tmp_path, recipe=str(file), lr=2e-3, batch_size=16, augment="crop").recipe
    assert (recipe.learning_rate, recipe.batch_size, recipe.augment) == (2e-3, 16, "crop")
    assert (recipe.weight_decay, recipe.learning_rate_size, recipe.epochs) == (0.1, None, 7)
    assert planned(tmp_path).recipe.learning_rate_size == 256


def test_auto_is_what_the_images_take(tmp_path):
    assert planned(tmp_path, augment="auto").recipe == planned(tmp_path).recipe
    assert planned(tmp_path).recipe.augment == "none"  # digits are signs
    assert Recipe.from_dict({"epochs": 3}).augment == "auto"  # of a run from before


def test_a_run_goes_on_and_is_confirmed_by_the_recipe_that_was_asked_for(tmp_path):
    asked = planned(tmp_path, lr=5e-4, augment="crop", epochs=2)
    folder = new_run(asked.settings, asked.dataset, asked.recipe, ["x"])
    assert json.loads((folder / "run.json").read_text())["recipe"]["learning_rate"] == 5e-4
    again = plan_resume(folder, {}, Console(quiet=True), dataset=asked.dataset)
    assert again.recipe == asked.recipe


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("learning_rat = 1", "Unknown recipe key 'learning_rat': did you mean 'learning_rate'"),
        ("batch_size = 0", "`batch_size` must be an integer of at least 1, but got 0"),
        ("= 3", "Invalid"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_before_images_are_read(
    text, why, tmp_path, monkeypatch
):
    monkeypatch.setattr(plan, "_load", lambda *_: pytest.fail("read"))
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"`--recipe` .*recipe.toml.* cannot be used: ") as told:
        planned(tmp_path, recipe=str(file))
    assert why in str(told.value)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"lr": 0.0}, "`--lr` must be a number above 0"),
        ({"batch_size": 0}, "`--batch-size` must be an integer of at least 1, but got 0"),
        ({"augment": "flip"}, "`--augment` must be one of .*did you mean 'crop_flip'"),
        ({"recipe": "nowhere.toml"}, "`--recipe` .*'nowhere.toml'.* cannot be used"),
        ({"recipe": Recipe(), "lr": 0.1}, "`lr` .*must not be given beside `recipe`"),
        ({"recipe": Recipe(epochs=7), "proxy": "fast"}, "`proxy` .*must not be given beside"),
    ],
)
def test_wrong_options_are_told(asked, why):
    with pytest.raises(ValueError, match=why):
        RecipeOptions.taken_from(asked)


def test_epochs_of_a_file_stand_beside_no_others(tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_text("epochs = 4\n")
    assert planned(tmp_path, recipe=str(file), proxy="faithful").recipe.epochs == 4
    with pytest.raises(ValueError, match=r"`epochs` .*must not be given beside `recipe`"):
        calls.search("500K", recipe=file, epochs=3)


def test_a_dry_run_shows_what_was_asked(tmp_path, monkeypatch, capsys):
    words = "--lr 0.001 --batch-size 32 --augment crop --dry-run --out"
    code, said = call_here(
        monkeypatch, capsys, "search", "--budget", "2M", *words.split(), tmp_path / "run"
    )
    assert code == 0, said
    assert "batch_size 32, learning_rate 0.001," in said
    assert "augment 'crop'" in said
