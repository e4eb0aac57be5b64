"""Options as people write them."""

import pytest

from search.units import parse_budget, parse_max_params, parse_seconds, parse_workers


@pytest.mark.parametrize(
    ("text", "flops"),
    [
        ("2M", 2_000_000),
        ("1.3G", 1_300_000_000),
        ("300m", 300_000_000),
        ("2500000", 2_500_000),
        ("2e6", 2_000_000),
        ("1,300,000", 1_300_000),
        (" 0.5T ", 500_000_000_000),
        ("1.3 GFLOPs", 1_300_000_000),
        ("4GMACs", 4_000_000_000),
        ("deit_tiny", 1_253_683_200),
    ],
)
def test_budgets_are_read(text, flops):
    assert parse_budget(text) == flops


@pytest.mark.parametrize(
    "text", ["0", "-1M", "abc", "", "nan", "inf", "1e400", "2X", "0.1", "M", "٣", "1,3M", "1,30"]
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


@pytest.mark.parametrize("text", ["0", "-1", "100001", "9" * 5000, "٣", "many", "1.0", ""])
def test_bad_numbers_of_workers_are_refused_by_option(text):
    with pytest.raises(
        ValueError, match=r"`--workers` must be auto or an integer from 1 to 100000"
    ):
        parse_workers(text)
    assert [parse_workers(text) for text in ("auto", "1", "100000")] == [None, 1, 100000]


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200)])
def test_times_are_read(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5", "soon", "5y"])
def test_bad_times_are_refused(text):
    with pytest.raises(ValueError, match="--time-limit"):
        parse_seconds(text)
