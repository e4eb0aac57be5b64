import inspect
import json
import math

import pytest

from search.commands.search import confirms_by_default, search
from search.confirming import AFTER_SEARCH
from search.settings import SearchSettings
from space import SearchSpace, count_flops, count_params

DIGITS = SearchSpace.load("digits")


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
        ({"sampler": 5}, r"`--sampler` must be one of .* but got 5: choose one of these"),
        ({"data": 5}, "`--data` must be a text, but got 5: choose"),
        ({"data_root": 5}, "`--data-root` must be a text, but got 5"),
        ({"baselines": 1}, "`--baselines` must be true or false, but got 1"),
        ({"seed": 2**32}, "`--seed` must be an integer from 0 to 4294967295"),
        ({"proxy": "blanced"}, r"--proxy.*'blanced': did you mean 'balanced'"),
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
    SearchSettings.check_typed({**values, "max_params": 1})
    with pytest.raises(ValueError, match="--max-params"):
        SearchSettings.check_typed({**values, "max_params": 0})


def test_settings_of_a_run_without_a_proxy_are_those_of_a_faithful_one():
    values = SearchSettings(budget=10**6, space=DIGITS).to_dict()
    del values["proxy"]
    assert SearchSettings.from_dict(values).proxy == "faithful"


def test_a_search_is_by_default_what_was_measured_to_be_best():
    """benchmarks/find_or_confirm.py decided it (docs/decisions/confirm.md); before: 24 by
    `faithful`, unconfirmed."""
    settings = SearchSettings(budget=10**6, space=DIGITS)
    assert (settings.trials, settings.proxy) == (36, "balanced")
    assert AFTER_SEARCH == {"top": 6, "controls": 0, "seeds": 2}
    command = inspect.signature(search).parameters
    assert (command["trials"].default, command["proxy"].default) == (36, "balanced")
    assert confirms_by_default("balanced", None, None)
    assert confirms_by_default("fast", None, None)
    for long in (("faithful", None, None), ("balanced", 30, None), ("balanced", None, "1h")):
        assert not confirms_by_default(*long)


def test_settings_round_trip_through_json():
    settings = SearchSettings(budget=10**6, space=DIGITS, time_limit=5.0, workers=3)
    assert SearchSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


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
