"""The staircase and the expected gain, against closed forms and brute-force integration."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from search.decide.acquisition import expected_gain, expected_improvement, staircase

point = st.tuples(st.floats(0.0, 3.0), st.floats(0.0, 1.0))


def area(points, reference, end):
    """The same area by another way: on a fine grid of costs."""
    grid = (np.arange(30_000) + 0.5) / 30_000 * (end + 1.0) - 1.0
    best = np.full(len(grid), reference)
    for cost, accuracy in points:
        best = np.where(grid >= cost, np.maximum(best, accuracy), best)
    return float((best - reference).sum() * (end + 1.0) / 30_000)


def stairs(points, reference=0.1, end=3.0):
    costs, accuracies = np.array(points, float).reshape(-1, 2).T
    return staircase(costs, accuracies, reference=reference, end=end)


def test_staircase_of_three_steps_has_its_known_area():
    front = stairs([(0.0, 0.3), (1.0, 0.5), (2.0, 0.9), (1.5, 0.4), (0.5, 0.05), (9.0, 1.0)])
    assert front.starts.tolist() == [-np.inf, 0.0, 1.0, 2.0]
    assert front.levels.tolist() == [0.1, 0.3, 0.5, 0.9]
    assert front.hypervolume == pytest.approx(0.2 + 0.4 + 0.8)


@settings(deadline=None, max_examples=50)
@given(st.lists(point, max_size=8))
def test_staircase_area_equals_that_on_a_grid(points):
    assert stairs(points).hypervolume == pytest.approx(area(points, 0.1, 3.0), abs=2e-3)


@settings(deadline=None, max_examples=50)
@given(st.lists(point, max_size=8), point)
def test_certain_candidate_gains_what_the_hypervolume_grows(points, extra):
    before, after = stairs(points), stairs([*points, extra])
    cost, accuracy = np.array([extra[0]]), np.array([extra[1]])
    gain = expected_gain(cost, accuracy, np.zeros(1), before)
    assert gain[0] == pytest.approx(after.hypervolume - before.hypervolume, abs=1e-9)


@pytest.mark.parametrize("cost", [-0.5, 0.2, 1.0, 1.7, 2.99, 3.0, 3.5])
@pytest.mark.parametrize(("mean", "sd"), [(0.2, 0.05), (0.5, 0.3), (0.9, 0.01)])
def test_expected_gain_equals_numerical_integration(cost, mean, sd):
    points = [(0.0, 0.3), (1.0, 0.5), (2.0, 0.8)]
    before = stairs(points)

    def integrand(y):
        growth = stairs([*points, (cost, y)]).hypervolume - before.hypervolume
        return growth * norm.pdf(y, mean, sd)

    low, high = mean - 10 * sd, mean + 10 * sd
    kinks = [level for level in before.levels if low < level < high]
    expected, _ = quad(integrand, low, high, points=kinks, limit=400)
    gain = expected_gain(np.array([cost]), np.array([mean]), np.array([sd]), before)
    assert gain[0] == pytest.approx(expected, abs=1e-8)


def test_expected_improvement_equals_a_large_sample():
    draws = np.random.default_rng(0).normal(0.5, 0.2, 1_000_000)
    value = expected_improvement(np.array([0.5]), np.array([0.2]), np.array([0.6]))[0]
    assert value == pytest.approx(np.maximum(draws - 0.6, 0.0).mean(), abs=3e-4)
