"""results.chart_data: what a chart shows is what the run holds."""

import dataclasses
import itertools
import math

import pytest
from make_run import make_run

from results import load_run
from results.chart_data import ChartData, log_ticks


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return load_run(make_run(tmp_path_factory.mktemp("run"), running=2))


def test_every_trial_with_an_accuracy_has_one_row(full):
    rows = ChartData.of(full).page.rows
    expected = {r.trial: r.accuracy for r in full.records if r.accuracy is not None}
    assert {row["trial"]: row["accuracy"] for row in rows} == expected
    assert len(rows) == len(expected)


def test_rows_name_members_baselines_and_states(full):
    series = {row["trial"]: row["series"] for row in ChartData.of(full).page.rows}
    states = {row["trial"]: row["state"] for row in ChartData.of(full).page.rows}
    members = {record.trial for record in full.front}
    names = {"complete": "complete", "stopped": "stopped early", "failed": "failed"}
    for record in full.records:
        if record.baseline:
            assert series[record.trial] == "baseline"
            assert states[record.trial] == f"complete, baseline {record.baseline}"
        elif record.trial in members:
            assert series[record.trial] == "on the frontier"
        elif record.accuracy is not None:
            assert series[record.trial] == names[record.state]


def test_staircase_ends_at_the_budget_with_the_best_accuracy(full):
    rows = ChartData.of(full).steps
    assert [row["trial"] for row in rows[:-1]] == [record.trial for record in full.front]
    assert rows[-1] == {"flops": full.budget_flops, "accuracy": full.front[-1].accuracy}


def test_error_bars_are_one_binomial_standard_error(full):
    row = ChartData.of(full).steps[0]
    error = math.sqrt(row["accuracy"] * (1 - row["accuracy"]) / 359)
    assert row["high"] - row["accuracy"] == pytest.approx(error)
    assert row["accuracy"] - row["low"] == pytest.approx(error)


def test_progress_ends_at_the_hypervolume_of_the_run(full):
    rows = ChartData.of(full).progress["trial"]
    assert rows[-1]["hypervolume"] == pytest.approx(full.hypervolume, abs=1e-12)
    assert rows[-1]["best_accuracy"] == full.front[-1].accuracy
    assert rows[-1]["spent"] == full.records[-1].trial


def test_curves_are_those_of_the_members(full):
    rows = ChartData.of(full).curves
    assert len(rows) == sum(record.epochs for record in full.front)
    assert {row["trial"] for row in rows} == {record.trial for record in full.front}


def test_trials_that_never_learned_do_not_flatten_the_frontier(full):
    curve = (dataclasses.replace(full.records[0].curve[-1], accuracy=0.1),)
    lost = dataclasses.replace(full.records[0], trial=999, curve=curve)
    run = dataclasses.replace(full, records=(*full.records, lost))
    data = ChartData.of(run)
    low = data.page.accuracy_domain[0]
    assert 0.5 < low < run.front[0].accuracy
    assert data.below_axis == sum(row["accuracy"] < low for row in data.page.rows) > 0


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (9e5, 3.1e9, [1e6, 1e7, 1e8, 1e9]),
        (4e5, 3.5e6, [5e5, 1e6, 2e6]),
        (4e4, 2.1e6, [5e4, 1e5, 2e5, 5e5, 1e6, 2e6]),
        (8e5, 2.1e6, [1e6, 1.5e6, 2e6]),
    ],
)
def test_ticks_are_round_numbers_inside_the_axis(low, high, ticks):
    assert log_ticks(low, high) == pytest.approx(ticks)


def test_names_of_baselines_stand_apart_and_their_staircase_ends_at_the_budget(tmp_path):
    run = load_run(make_run(tmp_path))
    names = ChartData.of(run).baseline_names
    assert [row["name"] for row in names] == [r.baseline for r in run.records if r.baseline]
    for one, other in itertools.pairwise(names):
        assert other["flops"] >= 1.7 * one["flops"] or one["above"] != other["above"]
    steps = ChartData.of(run).baseline_steps
    assert steps[-1]["flops"] == run.budget_flops
    assert [step["accuracy"] for step in steps] == sorted(step["accuracy"] for step in steps)
