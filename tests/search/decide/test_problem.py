"""A search space as a problem: exact costs, canonical genes, features of every network."""

import numpy as np
import pytest

from search.decide.problem import SpaceProblem
from space import SearchSpace, architecture_features, count_flops, count_params
from space.search_space import BUILT_IN_SPACES


@pytest.mark.parametrize("name", BUILT_IN_SPACES)
def test_networks_cross_and_come_back(name):
    space = SearchSpace.load(name)
    problem, rng = SpaceProblem(space, budget=10**12), np.random.default_rng(0)
    item, width = problem.smallest(), None
    for _ in range(60):
        other = problem.sample(rng)
        item = problem.mutate(problem.crossover(item, other, rng), rng)
        assert item.architecture in space
        params = problem.encode(item)
        assert set(params) == set(problem.distributions)
        for gene, value in params.items():
            assert problem.distributions[gene]._contains(
                problem.distributions[gene].to_internal_repr(value)
            )
        assert problem.key(problem.decode(params)) == problem.key(item)
        assert problem.cost(item) == count_flops(item.architecture)
        features = problem.features(item)
        width = width or len(features)
        assert len(features) == width
        assert np.isfinite(features).all()


def test_mutants_reach_every_gene():
    problem, rng = SpaceProblem(SearchSpace.load("digits"), budget=10**12), np.random.default_rng(0)
    start = problem.sample(rng)
    changed = set()
    for _ in range(500):
        genes = problem.mutate(start, rng).genes
        changed |= {name for name in genes if genes[name] != start.genes[name]}
    assert changed == set(problem.distributions)


def test_features_tell_apart_where_tokens_are_pooled_and_attention_is_mixed():
    space = SearchSpace.load("digits")
    base = space.decode(
        {"patch_size": 1, "depth": 8, "embed_dim": 32, "pool_stages": 1, "reattention": "suffix"}
    )
    early = base.replace(reattention=(0, 1))
    late = base.replace(reattention=(6, 7))
    seen = {tuple(architecture_features(a)) for a in (base, early, late)}
    assert len(seen) == 3


def test_parameter_limit_is_a_limit():
    space, rng = SearchSpace.load("digits"), np.random.default_rng(0)
    problem = SpaceProblem(space, budget=10**12, max_params=50_000)
    items = [problem.sample(rng) for _ in range(200)]
    for item in items:
        assert problem.fits(item) == (count_params(item.architecture) <= 50_000)
    assert 0 < sum(problem.fits(item) for item in items) < 200


def test_the_smallest_network_keeps_to_a_bound_of_parameters_if_any_does():
    space = SearchSpace.from_dict({
        "name": "pools", "img_size": 8, "patch_size": 1, "in_chans": 1, "num_classes": 10,
        "embed_dim": 16, "depth": 2, "head_dim": 16, "mlp_ratio": 1, "pooling": {"stages": [0, 1]},
    })  # fmt: skip
    leanest = space.leanest(10**9)
    most = count_params(leanest)
    assert count_params(space.smallest()) > most
    assert SpaceProblem(space, budget=10**9, max_params=most).smallest().architecture == leanest
