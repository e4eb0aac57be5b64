"""Which networks are confirmed, and which is trained next."""

import math

import numpy as np
import pytest

from results import Epoch, TrialRecord
from results.posterior import Estimates, binomial_variance
from search.decide.confirming import capped, choose, evenly, next_network, open_orders
from space import SearchSpace, count_params

SMALLEST = SearchSpace.load("digits").smallest()


def record(trial, flops, accuracy, *, state="complete", baseline=None):
    epoch = Epoch(
        epoch=1, train_loss=1.0, val_loss=1.0, accuracy=accuracy, seconds=1.0,
        images_per_second=1.0,
    )  # fmt: skip
    return TrialRecord(
        trial=trial, architecture=SMALLEST, flops=flops, params=count_params(SMALLEST),
        state=state, seed=trial, curve=(epoch,), baseline=baseline,
    )  # fmt: skip


def chosen(records, **changes):
    options = {"budget": 10**9, "images": 1000, "top": None, "controls": 8, "seed": 0} | changes
    return {c.trial: c for c in choose(records, **options)}


def test_members_near_members_baselines_and_controls_are_chosen():
    records = [
        record(0, 100, 0.80), record(1, 200, 0.90), record(2, 210, 0.899),
        record(3, 300, 0.50, baseline="plain"), record(4, 400, 0.95, state="stopped"),
        record(5, 500, 0.60), record(6, 2 * 10**9, 0.99),
    ]  # fmt: skip
    roles = {trial: c.role for trial, c in chosen(records).items()}
    assert roles == {0: "member", 1: "member", 2: "near", 3: "baseline", 5: "control"}
    few = chosen(records, top=1, controls=0)
    assert {c.role for c in few.values()} == {"member", "baseline"}
    assert list(few) == [1, 3]  # what is best within the budget; the cheapest is surely a member


def test_the_most_accurate_within_three_budgets_come_before_cheaper_ones_that_are_surer():
    tiny = [record(i, 100 + 10 * i, 0.30 + 0.05 * i) for i in range(8)]
    best = [record(8, 10_000, 0.70), record(9, 900_000, 0.71), record(10, 950_000, 0.715)]
    assert {7, 8, 10} <= set(chosen([*tiny, *best], budget=10**6, top=4, controls=0))
    one = chosen(best[:1], budget=10_000, top=1, controls=0)  # the budget is what it costs
    assert list(one) == [8]


def test_controls_are_drawn_evenly_over_log_flops_with_their_probability():
    rng = np.random.default_rng(0)
    flops = np.exp(np.concatenate([rng.uniform(0, 1, 90), rng.uniform(1, 10, 10)]))
    times = np.zeros(100)
    for seed in range(300):
        drawn = evenly(flops, 8, seed=seed)
        assert len(drawn) == 8
        for index, _ in drawn:
            times[index] += 1
    chance = dict(evenly(flops, 8, seed=0))
    for index, probability in chance.items():
        assert times[index] / 300 == pytest.approx(probability, abs=0.1)
    # A tenth of the networks have nine tenths of the range.
    assert sum(index >= 90 for index in chance) >= 5


def test_fewer_others_than_controls_are_all_taken():
    assert evenly(np.array([1.0, 2.0]), 8, seed=0) == [(0, 1.0), (1, 1.0)]
    assert len(evenly(np.full(20, 5.0), 8, seed=1)) == 8


def test_probabilities_sum_up_to_the_number_drawn():
    chance = capped(np.array([100.0, 1.0, 1.0, 1.0]), 2)
    assert chance == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3])


def following(accuracies, *, most=3, pending=None, attempts=None, images=1000):
    estimates = Estimates.of(np.arange(1, len(accuracies) + 1), accuracies, images=images)
    pending = np.zeros(len(accuracies)) if pending is None else np.array(pending, float)
    begun = estimates.count + pending if attempts is None else np.array(attempts, float)
    return next_network(estimates, pending, begun, most=most, confidence=0.95)


def test_every_network_has_one_training_before_any_has_two():
    assert following([[0.9], [], [0.9]]) == 1
    assert following([[0.9], [], [0.9]], pending=[0, 1, 0]) in (0, 2)


def test_a_network_whose_training_failed_has_another_while_it_may():
    assert following([[0.9], [], [0.5]], attempts=[1, 1, 1]) == 1
    assert following([[0.9], [], [0.5]], attempts=[1, 3, 1]) != 1


def test_the_least_known_order_is_trained_next_the_less_known_network_first():
    accuracies = [[0.5, 0.5], [0.9, 0.91], [0.903], [0.99, 0.99], [0.2, 0.2]]
    assert following(accuracies, most=9) == 2


def test_it_ends_where_all_orders_are_known_or_all_seeds_are_used():
    known = [[0.5, 0.51], [0.7, 0.71], [0.9, 0.91], [0.99, 0.991]]
    estimates = Estimates.of([1, 2, 3, 4], known, images=1000)
    assert open_orders(estimates, confidence=0.95) == []
    assert following(known) is None
    equal = [[0.9, 0.91, 0.9]] * 4
    assert following(equal, most=3) is None
    assert following(equal, most=4) is not None


def test_known_orders_are_trained_on_until_the_spread_over_seeds_is_known():
    assert following([[0.5], [0.7], [0.9]]) is not None


def test_what_is_under_way_counts():
    accuracies = [[0.90, 0.89, 0.91, 0.90], [0.905, 0.915]]
    estimates = Estimates.of([1, 2], accuracies, images=400)
    assert open_orders(estimates, confidence=0.95)
    assert following(accuracies, most=50, images=400) is not None
    assert following(accuracies, most=500, pending=[99, 99], images=400) is None


def test_the_rule_spends_less_than_equal_shares_for_as_many_right_orders():
    """Ten networks, eight far apart and two close: the two have the seeds."""
    rng = np.random.default_rng(3)
    truth = np.array([0.4, 0.5, 0.6, 0.7, 0.8, 0.88, 0.89, 0.94, 0.97, 0.99])
    spread = np.sqrt(binomial_variance(truth, 1000))
    accuracies = [[] for _ in truth]
    while True:
        begun = np.array([len(values) for values in accuracies], float)
        estimates = Estimates.of(np.arange(1, 11), accuracies, images=1000)
        network = next_network(estimates, np.zeros(10), begun, most=8, confidence=0.95)
        if network is None:
            break
        accuracies[network].append(float(rng.normal(truth[network], spread[network])))
    counts = [len(values) for values in accuracies]
    assert sum(counts) < 40
    assert min(counts[5], counts[6]) > np.median(counts)
    assert not math.isnan(estimates.mean.sum())
