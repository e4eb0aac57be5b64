"""Candidates of the digits space: they fit, they differ, and the same draw gives the same ones."""

import itertools

import numpy as np
import pytest

from search.decide.candidates import Candidates
from search.decide.problem import SpaceProblem
from space import SearchSpace, count_flops

DIGITS = SearchSpace.load("digits")


@pytest.fixture(scope="module")
def problem():
    return SpaceProblem(DIGITS, budget=2_000_000)


@pytest.fixture(scope="module")
def candidates(problem):
    return Candidates(problem, seed=3)


@pytest.mark.parametrize("number", [0, 1, 57])
def test_about_two_thousand_different_ones_fit(candidates, number):
    found = candidates.at_random(number)
    assert len(found) >= 2_000
    assert len({candidate.key for candidate in found}) == len(found)
    assert all(count_flops(candidate.item.architecture) <= 2_000_000 for candidate in found)


def test_what_a_trial_sees_depends_on_its_number_alone(problem, candidates):
    candidates.at_random(9)
    fresh = Candidates(problem, seed=3)
    for number in (4, 2):
        keys = [candidate.key for candidate in candidates.at_random(number)]
        assert keys == [candidate.key for candidate in fresh.at_random(number)]
    assert keys != [candidate.key for candidate in candidates.at_random(3)]
    assert keys != [c.key for c in Candidates(problem, seed=4).at_random(2)]


def test_tight_budget_still_finds_many():
    smallest = count_flops(DIGITS.smallest())
    tight = Candidates(SpaceProblem(DIGITS, budget=3 * smallest), seed=0)
    assert len(tight.at_random(0)) >= 50


def test_neighbours_fit_and_are_one_or_two_steps_or_a_crossing_away(problem, candidates):
    parents = [candidate.item for candidate in candidates.at_random(0)[:5]]
    near = candidates.near(parents, np.random.default_rng(0))
    assert len(near) > 60
    assert all(problem.fits(candidate.item) for candidate in near)
    for candidate in near:
        genes = problem.encode(candidate.item)
        apart = [
            sum(genes[name] != other[name] for name in genes)
            for other in map(problem.encode, parents)
        ]
        assert min(apart) <= len(genes) // 2 + 1


def test_features_lie_in_the_unit_cube(candidates):
    features = np.array([candidate.features for candidate in candidates.at_random(0)])
    assert np.isfinite(features).all()
    assert np.quantile(features, 0.001) >= 0.0
    assert np.quantile(features, 0.999) <= 1.0


def test_small_space_is_seen_as_a_whole():
    space = SearchSpace(
        img_size=(8,),
        patch_size=(2,),
        in_chans=1,
        num_classes=10,
        embed_dim=(16, 32),
        depth=(1, 2, 3),
        head_dim=(8,),
    )
    whole = Candidates(SpaceProblem(space, budget=10**9), seed=0)
    assert len(whole.at_random(0)) == space.size() == 6
    tried = {candidate.key for candidate in itertools.islice(whole.at_random(0), 4)}
    assert len(whole.left(tried)) == 2


def test_nothing_that_fits_is_an_error_naming_the_smallest():
    smallest = count_flops(DIGITS.smallest())
    with pytest.raises(ValueError, match=rf"{smallest:g}.*raise the budget"):
        Candidates(SpaceProblem(DIGITS, budget=smallest - 1), seed=0)
