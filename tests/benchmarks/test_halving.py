"""Halving decisions against brute force, a total order, and the traps of accuracy-only rules."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.halving import HalvingRule, non_dominated_rank, priority, spread_order

points = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), min_size=1, max_size=12)


def fronts_one_by_one(accuracies, flops):
    """Ranks by peeling, in plain Python."""
    left, ranks, front = set(range(len(flops))), {}, 0
    while left:
        best = {
            i
            for i in left
            if not any(
                accuracies[j] >= accuracies[i]
                and flops[j] <= flops[i]
                and (accuracies[j], flops[j]) != (accuracies[i], flops[i])
                for j in left
            )
        }
        ranks |= dict.fromkeys(best, front)
        left -= best
        front += 1
    return [ranks[i] for i in range(len(flops))]


@settings(deadline=None)
@given(points)
def test_ranks_equal_those_of_peeling_front_by_front(found):
    accuracies, flops = zip(*found, strict=True)
    assert non_dominated_rank(accuracies, flops).tolist() == fronts_one_by_one(accuracies, flops)


@settings(deadline=None)
@given(points)
def test_priority_is_a_permutation(found):
    accuracies, flops = zip(*found, strict=True)
    assert sorted(priority(accuracies, flops)) == list(range(len(found)))


@pytest.mark.parametrize("eta", [2, 3, 4])
@pytest.mark.parametrize("count", [12, 48])
@pytest.mark.parametrize("widest", [1.5, 100.0])
def test_on_a_total_order_decisions_are_the_true_top_share(eta, count, widest):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        accuracies = np.sort(rng.random(count))[::-1]  # the cheapest is the best, and so on
        flops = np.sort(rng.uniform(1.0, widest, count) * 1e6)
        rule = HalvingRule(max_epochs=9, first_rung=1, reduction_factor=eta, tolerance=0)
        for i in rng.permutation(count).tolist():
            rule.report(i, flops=flops[i], epoch=1, accuracy=accuracies[i])
        first = [i for i in range(count) if rule.is_among_first(i, 1)]
        assert first == list(range(count // eta))
        if widest <= 1.5:  # all are neighbours
            assert first == [i for i in range(count) if rule.is_kept(i, 1)]


def test_on_equal_flops_decisions_are_the_true_top_share_by_accuracy():
    accuracies = np.random.default_rng(0).permutation(30) / 30
    rule = HalvingRule(max_epochs=9, first_rung=1, tolerance=0)
    for i, accuracy in enumerate(accuracies):
        rule.report(i, flops=1e6, epoch=1, accuracy=accuracy)
    kept = {i for i in range(30) if rule.is_kept(i, 1)}
    assert kept == set(np.argsort(-accuracies)[:10].tolist())


def test_spread_starts_in_the_middle_and_fills_the_largest_gaps():
    accuracies, flops = [0.0, 0.1, 0.5, 0.9, 1.0], [1.0, 10**0.1, 10**0.5, 10**0.9, 10.0]
    order = spread_order(accuracies, flops)
    assert order[0] == 2
    assert set(order[1:3]) == {0, 4}


def test_nothing_is_stopped_with_fewer_results_than_the_reduction_factor():
    rule = HalvingRule(max_epochs=9, first_rung=1, reduction_factor=3)
    assert rule.report(0, flops=1e6, epoch=1, accuracy=0.9)
    assert rule.report(1, flops=1.1e6, epoch=1, accuracy=0.1)
    assert not rule.report(2, flops=1.1e6, epoch=1, accuracy=0.1)


@pytest.mark.parametrize("accuracy", [float("nan"), float("inf"), None])
def test_nan_is_stopped_at_once_and_measures_no_one(accuracy):
    rule = HalvingRule(max_epochs=9, first_rung=3)
    assert not rule.report(0, flops=1e6, epoch=1, accuracy=accuracy)
    assert not rule.report(0, flops=1e6, epoch=3, accuracy=accuracy)
    assert rule._results[3] == {}


def test_slow_large_network_that_leads_its_neighbourhood_goes_on():
    rule = HalvingRule(max_epochs=9, first_rung=1, tolerance=0)
    for i in range(20):
        rule.report(i, flops=1e5 * (1 + i / 20), epoch=1, accuracy=0.5 + i / 100)
    assert rule.report(90, flops=1e7, epoch=1, accuracy=0.3)
    assert rule.report(91, flops=1.2e7, epoch=1, accuracy=0.35)
    assert not rule.report(92, flops=1.3e7, epoch=1, accuracy=0.2)


def test_tolerance_spares_what_is_worse_by_less_than_noise():
    errors = dict.fromkeys(range(9), 0.1) | {10: 0.11, 11: 0.20}
    for tolerance, spared in ((0.0, False), (0.3, True)):
        rule = HalvingRule(max_epochs=9, first_rung=1, tolerance=tolerance)
        for i, error in errors.items():
            rule.report(i, flops=1e6, epoch=1, accuracy=1 - error)
        assert rule.leads_neighbourhood(10, 1) is spared
        assert not rule.leads_neighbourhood(11, 1)


def test_between_rungs_and_at_the_end_nothing_is_stopped():
    rule = HalvingRule(max_epochs=9)
    assert rule.rungs == (1, 3)
    for epoch in (2, 4, 9):
        for i in range(10):
            assert rule.report(i, flops=1e6, epoch=epoch, accuracy=1.0 - i / 10)


def test_one_epoch_has_no_rungs():
    assert HalvingRule(max_epochs=1).rungs == ()


def test_rule_rebuilt_from_curves_decides_alike():
    rng = np.random.default_rng(1)
    curves = [
        (i, 10 ** rng.uniform(5, 7), [{"epoch": e, "accuracy": rng.random()} for e in (1, 2, 3)])
        for i in range(30)
    ]
    first, second = HalvingRule(max_epochs=9), HalvingRule(max_epochs=9)
    for i, flops, curve in curves:
        for point in curve:
            first.report(i, flops=flops, **point)
    second.take_in(reversed(curves))
    for rung in (1, 3):
        for i in range(30):
            assert first.is_kept(i, rung) == second.is_kept(i, rung)


def test_forgotten_trial_measures_no_one():
    rule = HalvingRule(max_epochs=9, first_rung=1)
    for i in range(5):
        rule.report(i, flops=1e6, epoch=1, accuracy=0.9)
    rule.report(9, flops=1e6, epoch=1, accuracy=0.5)
    assert not rule.is_kept(9, 1)
    for i in range(5):
        rule.forget(i)
    assert rule.is_kept(9, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_epochs": 0},
        {"max_epochs": 5, "reduction_factor": 1},
        {"max_epochs": 5, "tolerance": 1.0},
    ],
)
def test_impossible_settings_raise(wrong):
    with pytest.raises(ValueError, match="must hold"):
        HalvingRule(**wrong)


def test_81_to_27_to_9_keeps_the_frontier_where_accuracy_alone_loses_it():
    from benchmarks.search_efficiency import halving_shares

    shares = halving_shares(repeats=60)
    assert shares["frontier"] > 0.89
    assert shares["frontier"] > shares["random"] + 0.2 > shares["accuracy"] + 0.2


@settings(deadline=None)
@given(points, st.sampled_from([2, 3, 4]))
def test_being_among_the_first_is_a_place_in_the_order_of_priority(found, eta):
    rule = HalvingRule(max_epochs=9, first_rung=1, reduction_factor=eta)
    for i, (accuracy, flops) in enumerate(found):
        rule.report(i, flops=flops, epoch=1, accuracy=accuracy)
    order = priority(*zip(*found, strict=True))
    for i in range(len(found)):
        assert rule.is_among_first(i, 1) == (order.index(i) * eta < len(found))
