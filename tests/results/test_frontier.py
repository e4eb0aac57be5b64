"""results.frontier: closed forms, ties, and two independent oracles."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_run import plain

from results import Epoch, TrialRecord, hypervolume, pareto_front
from results.frontier import progress

ARCHITECTURE = plain(2, 16)
BUDGET, GUESS = 10**6, 0.1


def record(trial, flops, accuracy, state="complete"):
    curve = ()
    if accuracy is not None:
        curve = tuple(
            Epoch(epoch=e, train_loss=1.0, val_loss=1.0, accuracy=a, seconds=1, images_per_second=1)
            for e, a in ((1, 0.5), (2, accuracy))
        )
    return TrialRecord(
        trial=trial,
        architecture=ARCHITECTURE,
        flops=flops,
        params=1,
        state=state,
        curve=curve,
        seed=0,
    )


def records(*points):
    return [record(number, *point) for number, point in enumerate(points)]


def numbers(front):
    return [member.trial for member in front]


def volume(points, budget=BUDGET, reference=GUESS):
    return hypervolume(points, budget_flops=budget, reference_accuracy=reference)


# Few distinct values, so that ties and duplicates are frequent; some points over budget.
FLOPS = st.sampled_from([10**3, 2 * 10**3, 5000, 10**4, 10**5, 999_999, 10**6, 10**6 + 1, 10**7])
ACCURACY = st.sampled_from([0.0, 0.1, 0.3, 0.3000001, 0.5, 0.9, 1.0, math.nan])
POINTS = st.lists(st.tuples(FLOPS, ACCURACY), max_size=12)


def dominates(a, b):
    """Whether record a keeps record b off the front, straight from the definition."""
    if (a.flops, a.accuracy) == (b.flops, b.accuracy):
        return a.trial < b.trial
    return a.flops <= b.flops and a.accuracy >= b.accuracy


def test_front_of_a_staircase_is_the_staircase():
    assert numbers(pareto_front(records((100, 0.5), (10, 0.2), (1000, 0.9)))) == [1, 0, 2]


def test_equal_accuracy_keeps_the_cheaper_one():
    assert numbers(pareto_front(records((200, 0.5), (100, 0.5)))) == [1]


def test_equal_flops_keeps_the_more_accurate_one():
    assert numbers(pareto_front(records((100, 0.4), (100, 0.5)))) == [1]


def test_of_equal_trials_the_lowest_number_is_kept():
    first, second = records((100, 0.5), (100, 0.5))
    assert numbers(pareto_front([second, first])) == [0]


def test_only_complete_trials_with_a_finite_accuracy_are_members():
    others = [
        record(1, 10, 0.99, "stopped"),
        record(2, 10, 0.99, "failed"),
        record(3, 10, 0.99, "running"),
        record(4, 10, math.nan),
        record(5, 10, math.inf),
        record(6, 10, None),
    ]
    assert numbers(pareto_front([record(0, 100, 0.5), *others])) == [0]
    assert pareto_front(others) == []


def test_budget_leaves_out_what_costs_more_and_keeps_what_costs_just_that():
    trials = records((BUDGET, 0.5), (BUDGET + 1, 0.9))
    assert numbers(pareto_front(trials, budget_flops=BUDGET)) == [0]
    assert numbers(pareto_front(trials)) == [0, 1]


def test_front_of_nothing_is_empty():
    assert pareto_front([]) == []


@given(POINTS)
def test_front_equals_the_definition_by_brute_force(points):
    trials = [r for r in records(*points) if not math.isnan(r.accuracy)]
    expected = [
        r for r in trials if not any(dominates(other, r) for other in trials if other is not r)
    ]
    assert pareto_front(records(*points)) == sorted(expected, key=lambda r: r.flops)


@given(POINTS, st.randoms())
def test_order_of_records_is_irrelevant(points, random):
    trials = records(*points)
    shuffled = random.sample(trials, len(trials))
    assert pareto_front(shuffled) == pareto_front(trials)
    assert volume(shuffled) == volume(trials)


@given(POINTS)
def test_front_has_the_hypervolume_of_all_records(points):
    trials = records(*points)
    assert volume(pareto_front(trials)) == volume(trials) == volume(points)


@given(POINTS, st.floats(1, 100), st.floats(0, 1))
def test_dominated_point_changes_nothing(points, costlier, worse):
    trials = records(*points)
    front = pareto_front(trials)
    for member in front:
        dominated = record(99, int(member.flops * costlier), member.accuracy * worse)
        assert pareto_front([dominated, *trials]) == front
        assert volume([dominated, *trials]) == volume(trials)


@given(POINTS, st.tuples(FLOPS, ACCURACY))
def test_hypervolume_never_shrinks_when_a_point_is_added(points, point):
    assert volume([*points, point]) >= volume(points) - 1e-12


@given(POINTS, st.sampled_from([0.0, 0.1, 0.4]))
@settings(max_examples=50)
def test_hypervolume_equals_numerical_integration(points, reference):
    start, cells = 3.0, 30_000
    width = (math.log10(BUDGET) - start) / cells
    middles = start + width * (np.arange(cells) + 0.5)
    best = np.full(cells, -np.inf)
    for flops, accuracy in points:
        if not math.isnan(accuracy):
            best = np.where(np.log10(flops) <= middles, np.maximum(best, accuracy), best)
    expected = np.maximum(best - reference, 0).sum() * width
    assert volume(points, reference=reference) == pytest.approx(expected, abs=len(points) * width)


def test_hypervolume_of_one_point_is_its_height_times_its_decades():
    assert volume([(10**4, 0.6)]) == pytest.approx(0.5 * 2, abs=1e-12)


def test_hypervolume_of_a_staircase_is_known_exactly():
    steps = [(10**5, 0.9), (10**3, 0.3), (10**4, 0.6), (10**5, 0.2), (5 * 10**4, 0.6)]
    assert volume(steps) == pytest.approx(0.2 + 0.5 + 0.8, abs=1e-12)


def test_hypervolume_of_records_and_of_pairs_is_the_same():
    points = [(10**3, 0.3), (10**4, 0.6)]
    assert volume(records(*points)) == volume(points) == volume(iter(points))
    assert volume(np.array(points)) == volume(points)


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(10**7, 1.0)],  # over budget
        [(BUDGET, 1.0)],  # no width left
        [(10**3, GUESS)],  # no better than guessing
        [(10**3, 0.05)],
        [(10**3, math.nan)],
        [(math.inf, 1.0)],
    ],
)
def test_points_that_add_nothing_have_no_hypervolume(points):
    assert volume(points) == 0.0


def test_unfinished_records_add_nothing():
    states = ("stopped", "failed", "running")
    assert volume([record(i, 10**3, 0.9, state) for i, state in enumerate(states)]) == 0.0


def test_over_budget_point_does_not_replace_a_cheaper_one():
    assert volume([(10**4, 0.6), (10**7, 0.9)]) == volume([(10**4, 0.6)])


@pytest.mark.parametrize("flops", [0, -5, math.nan])
def test_flops_without_a_logarithm_are_refused(flops):
    with pytest.raises(ValueError, match="`flops` must be positive"):
        volume([(flops, 0.5)])


@pytest.mark.parametrize("budget", [0, -1, math.nan, math.inf])
def test_impossible_budget_is_refused(budget):
    with pytest.raises(ValueError, match="`budget_flops` must be positive and finite"):
        volume([(10, 0.5)], budget=budget)


def test_impossible_reference_is_refused():
    with pytest.raises(ValueError, match="`reference_accuracy` must be finite"):
        volume([(10, 0.5)], reference=math.nan)


@given(POINTS)
def test_progress_ends_at_the_final_hypervolume_and_grows_at_each_step(points):
    trials = records(*points)
    steps = progress(trials[::-1], budget_flops=BUDGET, reference_accuracy=GUESS)
    last = pareto_front(trials, budget_flops=BUDGET)
    assert [s.trial for s in steps] == sorted({s.trial for s in steps})
    assert (steps[-1].hypervolume if steps else 0.0) == volume(trials)
    assert [s.best_accuracy for s in steps[-1:]] == [m.accuracy for m in last[-1:]]
    for number, step in enumerate(steps):
        so_far = volume([r for r in trials if r.trial <= step.trial])
        assert step.hypervolume == so_far
        assert number == 0 or so_far >= steps[number - 1].hypervolume


def test_frontier_needs_neither_optuna_nor_altair_nor_torch():
    code = (
        "import sys, results, results.frontier as f;"
        "f.hypervolume([(10, .5)], budget_flops=100, reference_accuracy=.1);"
        "print([m for m in ('optuna', 'altair', 'jinja2', 'torch', 'timm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
