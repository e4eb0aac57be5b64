import json
import math

import pytest

from results.words import format_count
from search.settings import (
    SearchSettings,
    check_options,
    default_space,
    new_run_folder,
    parse_budget,
    parse_max_params,
    parse_seconds,
    parse_workers,
    refuse_existing_run,
)
from space import SearchSpace, count_flops, count_params

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
        ({"trials": 0}, "`--trials` must be an integer from 1 to 10000000, but got 0: choose"),
        (
            {"trials": 10**7 + 1},
            "`--trials` must be an integer from 1 to 10000000, but got 10000001",
        ),
        ({"trials": 10**5000}, "`--trials`.*thousands of digits"),
        ({"epochs": -1}, "--epochs"),
        ({"epochs": 10**5 + 1}, "`--epochs` must be an integer from 1 to 100000, but got 100001"),
        ({"workers": 10**5 + 1}, "`--workers` must be an integer from 1 to 100000, but got 100001"),
        ({"img_size": 10**6}, "`--img-size` must be an integer from 1 to 4096"),
        ({"seed": -1}, "--seed"),
        ({"time_limit": float("nan")}, "--time-limit"),
        ({"time_limit": 10**400}, "`--time-limit` must be a number above 0 and at most 1e9"),
        ({"silence": math.inf}, "`--silence` must be a number above 0 and at most 1e9"),
        ({"cpus_per_trial": 0.0}, "--cpus-per-trial"),
        ({"cpus_per_trial": 1e-9}, "`--cpus-per-trial` must be a number from 0.01 to 10000.*1e-09"),
        ({"cpus_per_trial": 10001}, "`--cpus-per-trial` must be .*, but got 10001: choose"),
        ({"sampler": "tep"}, r"--sampler.*'tep': did you mean 'tpe'"),
        ({"max_params": 0}, "--max-params"),
        (
            {"gpus_per_trial": -1.0},
            "`--gpus-per-trial` must be 0, a number from 0.01 to 1, or a whole",
        ),
        ({"gpus_per_trial": 0.001}, "--gpus-per-trial"),
        ({"gpus_per_trial": 1.5}, "`--gpus-per-trial` must be .* whole number .* but got 1.5"),
        ({"gpus_per_trial": 10001}, "--gpus-per-trial"),
        ({"gpus_per_trial": math.nan}, "--gpus-per-trial"),
        ({"proxy": "blanced"}, r"--proxy.*'blanced': did you mean 'balanced'"),
        (
            {"storage": "sqlite://"},
            r"`--storage` \(='sqlite://'\) must keep the study.*name a file",
        ),
        ({"storage": "sqlite:///"}, "--storage"),
        ({"storage": "sqlite:///:memory:"}, "--storage"),
        ({"storage": "sqlite+pysqlite:///:memory:?timeout=3"}, "--storage"),
        ({"storage": "sqlite:///file::memory:?uri=true"}, "--storage"),
        ({"storage": "sqlite:///file:a?mode=memory&uri=true"}, "--storage"),
    ],
)
def test_impossible_settings_are_refused_by_option(changes, message):
    with pytest.raises(ValueError, match=message):
        SearchSettings(budget=10**6, space=DIGITS, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"trials": 10**7, "epochs": 10**5, "workers": 10**5, "img_size": 4096},
        {"cpus_per_trial": 0.01, "gpus_per_trial": 0.01, "time_limit": 1e9},
        {"cpus_per_trial": 10**4, "gpus_per_trial": 10**4},
        {"cpus_per_trial": 1.5, "gpus_per_trial": 2.0},
        {"gpus_per_trial": 0},
        {"storage": "sqlite:////folder/memory.db"},
        {"storage": "sqlite:///study.db?timeout=3"},
        {"storage": "postgresql://user@host/memory"},
    ],
)
def test_the_widest_settings_of_a_run_are_read_back(changes):
    values = SearchSettings(budget=10**6, space=DIGITS).to_dict() | changes
    assert SearchSettings.from_dict(values).to_dict() == values


def test_more_parameters_are_asked_for_than_the_leanest_that_fits_has():
    for budget in (count_flops(DIGITS.smallest()), 10**6):
        most = count_params(DIGITS.leanest(budget))
        SearchSettings(budget=budget, space=DIGITS, max_params=most)
        message = rf"`--max-params` \(={most - 1}\).*{most} parameters \(.*raise it or --budget"
        with pytest.raises(ValueError, match=message):
            SearchSettings(budget=budget, space=DIGITS, max_params=most - 1)


def test_the_space_of_images_yet_unknown_is_not_held_against_max_params():
    values = SearchSettings(budget=10**6, space=DIGITS).to_dict()
    check_options({**values, "max_params": 1})
    with pytest.raises(ValueError, match="--max-params"):
        check_options({**values, "max_params": 0})


@pytest.mark.parametrize("text", ["0", "-1", "100001", "9" * 5000, "٣", "many", "1.0", ""])
def test_bad_numbers_of_workers_are_refused_by_option(text):
    with pytest.raises(
        ValueError, match=r"`--workers` must be auto or an integer from 1 to 100000"
    ):
        parse_workers(text)
    assert [parse_workers(text) for text in ("auto", "1", "100000")] == [None, 1, 100000]


def test_a_study_that_lost_its_description_is_not_written_over(tmp_path):
    (tmp_path / "study.db").touch()
    with pytest.raises(ValueError, match=r"study\.db whose run\.json is lost: restore run\.json"):
        refuse_existing_run(tmp_path)


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
        ("", None, True),
        ("local", None, True),
    ):
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        if environment is not None:
            monkeypatch.setenv("RAY_ADDRESS", environment)
        settings = SearchSettings(budget=10**6, space=space, address=address)
        assert settings.on_this_machine is here
