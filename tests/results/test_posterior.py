"""The posterior over accuracies: known cases, and probabilities that hold as often as they say."""

import numpy as np
import pytest
from scipy.stats import norm

from results.posterior import Estimates, binomial_variance, membership, misordering, rivals


def test_of_two_networks_the_costlier_is_a_member_as_often_as_it_is_better():
    estimates = Estimates.binomial([1e6, 2e6], [0.90, 0.91], images=1000)
    error = np.hypot(*np.sqrt(binomial_variance(np.array([0.90, 0.91]), 1000)))
    share = membership(estimates)
    assert share[0] == 1.0
    assert share[1] == pytest.approx(norm.cdf(0.01 / error), abs=0.015)
    assert misordering(estimates, [(1, 0)])[0] == pytest.approx(norm.sf(0.01 / error), abs=1e-3)


def test_of_equal_flops_one_alone_is_a_member():
    share = membership(Estimates.binomial([1e6] * 3, [0.9, 0.9, 0.9], images=100))
    assert share.sum() == pytest.approx(1.0)
    assert share == pytest.approx([1 / 3] * 3, abs=0.02)


def test_a_network_without_a_training_is_no_member_and_no_rival():
    estimates = Estimates.of([1e6, 2e6, 3e6], [[0.8, 0.82], [], [0.9]], images=500)
    assert membership(estimates)[1] == 0.0
    assert rivals(estimates) == [(2, 0)]


def test_the_rival_of_a_network_is_the_best_that_costs_no_more():
    estimates = Estimates.of([1e6, 2e6, 3e6, 4e6], [[0.8], [0.9], [0.85], [0.95]], images=500)
    assert rivals(estimates) == [(1, 0), (2, 1), (3, 1)]


def test_equal_means_are_a_toss_up():
    estimates = Estimates.of([1e6, 2e6], [[0.9], [0.9]], images=500)
    assert misordering(estimates, rivals(estimates))[0] == 0.5


def test_the_dispersion_is_pooled_over_networks_and_begins_at_the_binomial_one():
    assert Estimates.of([1e6, 2e6], [[0.9], [0.5]], images=500).dispersion == 1.0
    rng = np.random.default_rng(0)
    centres = np.linspace(0.3, 0.99, 40)
    spread = np.sqrt(3.0 * binomial_variance(centres, 500))
    drawn = [rng.normal(c, s, 6) for c, s in zip(centres, spread, strict=True)]
    estimates = Estimates.of(np.arange(1, 41), drawn, images=500)
    assert estimates.dispersion == pytest.approx(3.0, rel=0.2)
    assert estimates.degrees == 2 + 40 * 5
    # A good network is known better than a poor one.
    assert estimates.spread[-1] < 0.5 * estimates.spread[0]


def drawn_means(rng, truth):
    """Estimates of three trainings of each, of twice the binomial variance."""
    spread = np.sqrt(2.0 * binomial_variance(truth, 500))
    drawn = [rng.normal(t, s, 3) for t, s in zip(truth, spread, strict=True)]
    return Estimates.of(np.arange(1, len(truth) + 1), drawn, images=500)


def test_misordering_is_as_likely_as_it_says():
    """Over many experiments, the wrong orders are as many as were foretold."""
    rng = np.random.default_rng(1)
    foretold = wrong = 0.0
    pairs = [(i, i + 1) for i in range(11)]
    for _ in range(200):
        truth = rng.uniform(0.5, 0.97, 12)
        estimates = drawn_means(rng, truth)
        foretold += misordering(estimates, pairs).sum()
        wrong += sum(
            (truth[i] - truth[j]) * (estimates.mean[i] - estimates.mean[j]) < 0 for i, j in pairs
        )
    assert wrong == pytest.approx(foretold, rel=0.2)


def test_equal_networks_are_told_apart_as_rarely_as_it_says():
    rng = np.random.default_rng(2)
    pairs = [(i, i + 1) for i in range(0, 12, 2)]
    open_pairs = [misordering(drawn_means(rng, np.full(12, 0.9)), pairs) for _ in range(200)]
    assert np.mean(np.array(open_pairs) < 0.05) == pytest.approx(2 * 0.05, abs=0.025)
