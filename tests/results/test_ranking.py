"""Kendall's tau with weights: SciPy as the oracle, copies, and an interval that covers."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from results.ranking import LEAST_NETWORKS, rank_agreement, weighted_tau


def made(rng, count, noise, *, cost=1.0):
    """Scores and truths of networks whose accuracy grows with their cost by `cost`."""
    flops = np.exp(rng.uniform(0, 3, count)) * 1e6
    taste = rng.normal(size=count)
    truth = cost * np.log(flops) + taste
    return truth + rng.normal(0, noise, count), truth, flops


@pytest.mark.parametrize("decimals", [3, 0])
def test_equal_weights_give_scipys_tau_b(decimals):
    rng = np.random.default_rng(0)
    for _ in range(20):
        x = rng.normal(size=15).round(decimals)
        y = (x + rng.normal(size=15)).round(decimals)
        got = weighted_tau(x, y, np.full(15, 2.5))
        assert got == pytest.approx(kendalltau(x, y).statistic, abs=1e-12)


def test_a_weight_is_a_number_of_copies():
    rng = np.random.default_rng(1)
    x, y, copies = rng.normal(size=9), rng.normal(size=9), rng.integers(1, 5, 9)
    many = np.repeat(np.arange(9), copies)
    whole = weighted_tau(x[many], y[many], np.ones(len(many)))
    assert weighted_tau(x, y, copies.astype(float)) == pytest.approx(whole)


def test_below_twelve_networks_it_cannot_be_said():
    score, truth, flops = made(np.random.default_rng(2), LEAST_NETWORKS, 0.1)
    assert rank_agreement(score, truth, flops, np.ones(12)) is not None
    assert rank_agreement(score[1:], truth[1:], flops[1:], np.ones(11)) is None
    assert rank_agreement(np.ones(12), truth, flops, np.ones(12)) is None


def test_a_score_that_knows_the_cost_alone_agrees_overall_and_not_at_fixed_cost():
    rng = np.random.default_rng(3)
    _, truth, flops = made(rng, 60, 0.0, cost=2.0)
    overall, fixed = rank_agreement(np.log(flops), truth, flops, np.ones(60))
    assert overall.low > 0.3
    overall, fixed = rank_agreement(
        np.log(flops) + rng.normal(0, 0.3, 60), truth, flops, np.ones(60)
    )
    assert fixed.low < 0 < fixed.high
    score, truth, flops = made(rng, 60, 0.3)
    assert rank_agreement(score, truth, flops, np.ones(60))[1].low > 0.3


def test_the_interval_covers_the_tau_of_all_networks():
    rng = np.random.default_rng(4)
    score, truth, flops = made(rng, 2000, 1.0)
    whole = kendalltau(score, truth).statistic
    held = 0
    for _ in range(20):
        rows = rng.choice(2000, 24, replace=False)
        tau = rank_agreement(score[rows], truth[rows], flops[rows], np.ones(24))[0]
        held += tau.low <= whole <= tau.high
    assert held >= 16  # 19 in the mean
