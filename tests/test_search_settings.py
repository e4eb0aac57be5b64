import json

import pytest

from search.settings import (
    SearchSettings,
    default_space,
    format_count,
    new_run_folder,
    parse_budget,
    parse_max_params,
    parse_seconds,
)
from space import SearchSpace, count_flops

DIGITS = SearchSpace.load("digits")


@pytest.mark.parametrize(
    ("text", "flops"),
    [
        ("2M", 2_000_000),
        ("1.3G", 1_300_000_000),
        ("300m", 300_000_000),
        ("2500000", 2_500_000),
        ("2e6", 2_000_000),
        (" 0.5T ", 500_000_000_000),
        ("1.3 GFLOPs", 1_300_000_000),
        ("4GMACs", 4_000_000_000),
        ("deit_tiny", 1_253_683_200),
    ],
)
def test_budgets_are_read(text, flops):
    assert parse_budget(text) == flops


@pytest.mark.parametrize(
    "text", ["0", "-1M", "abc", "", "nan", "inf", "1e400", "2X", "0.1", "M", "٣"]
)
def test_bad_budgets_are_refused_with_the_value(text):
    with pytest.raises(ValueError, match=r"`--budget`.*but got"):
        parse_budget(text)


def test_a_mistyped_architecture_as_budget_offers_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'deit_tiny'"):
        parse_budget("deit_tny")


def test_parameters_are_read_by_an_option_of_their_own():
    assert parse_max_params("5M") == 5_000_000
    assert parse_max_params("deit_tiny") == 5_717_416
    with pytest.raises(ValueError, match=r"`--max-params` must be parameters .*'deit_tiny'\?"):
        parse_max_params("deit_tny")


def test_a_budget_below_the_smallest_architecture_says_which_that_is():
    smallest = DIGITS.smallest()
    with pytest.raises(
        ValueError, match=rf"{count_flops(smallest)} FLOPs \(.*embed_dim=16, depth=1"
    ):
        SearchSettings(budget=1000, space=DIGITS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "--trials"),
        ({"epochs": -1}, "--epochs"),
        ({"seed": -1}, "--seed"),
        ({"time_limit": float("nan")}, "--time-limit"),
        ({"cpus_per_trial": 0.0}, "--cpus-per-trial"),
        ({"sampler": "tep"}, r"--sampler.*'tep': did you mean 'tpe'"),
        ({"max_params": 0}, "--max-params"),
        ({"gpus_per_trial": -1.0}, "`--gpus-per-trial` must be a number of at least 0"),
        ({"proxy": "blanced"}, r"--proxy.*'blanced': did you mean 'balanced'"),
    ],
)
def test_impossible_settings_are_refused_by_option(changes, message):
    with pytest.raises(ValueError, match=message):
        SearchSettings(budget=10**6, space=DIGITS, **changes)


def test_settings_of_a_run_without_a_proxy_are_those_of_a_faithful_one():
    values = SearchSettings(budget=10**6, space=DIGITS).to_dict()
    del values["proxy"]
    assert SearchSettings.from_dict(values).proxy == "faithful"


def test_settings_round_trip_through_json():
    settings = SearchSettings(budget=10**6, space=DIGITS, time_limit=5.0, workers=3)
    assert SearchSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200)])
def test_times_are_read(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5", "soon", "5y"])
def test_bad_times_are_refused(text):
    with pytest.raises(ValueError, match="--time-limit"):
        parse_seconds(text)


def test_a_run_folder_is_named_after_data_and_budget_and_never_reused(tmp_path):
    first = new_run_folder("/some/where/My flowers!", 1_300_000_000, tmp_path)
    assert first == tmp_path / "My-flowers-1.3G"
    first.mkdir()
    assert new_run_folder("My flowers!", 1_300_000_000, tmp_path).name == "My-flowers-1.3G-2"
    assert new_run_folder("../..", 5, tmp_path).parent == tmp_path


def test_default_space_fits_the_image_size():
    assert [default_space(size) for size in (8, 32, 64, 224)] == [
        "digits", "cifar", "cifar", "hvt_deit_tiny",
    ]  # fmt: skip


def test_counts_are_printed_with_units():
    assert [format_count(c) for c in (999, 33_952, 2_000_000, 1_253_683_200)] == [
        "999", "33.95K", "2M", "1.254G",
    ]  # fmt: skip


def test_a_run_of_a_cluster_can_be_brought_to_this_machine(monkeypatch):
    space = SearchSpace.load("digits")
    for environment, address, here in (
        (None, None, True),
        (None, "10.0.0.1:6379", False),
        ("10.0.0.1:6379", None, False),
        ("10.0.0.1:6379", "local", True),
    ):
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        if environment:
            monkeypatch.setenv("RAY_ADDRESS", environment)
        settings = SearchSettings(budget=10**6, space=space, address=address)
        assert settings.on_this_machine is here
