"""The sampler as OptunaHub loads it: on whole numbers, categories and continuous parameters."""

import importlib.util
import itertools
import math
import sys
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

PACKAGE = Path(__file__).parent.parent
SPACE = {
    "depth": IntDistribution(1, 6),
    "width": IntDistribution(16, 128, log=True),
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "kind": CategoricalDistribution(["a", "b", None]),
}
BUDGET = 40_000.0


@pytest.fixture(scope="module")
def sampler_class():
    name = "known_cost_ehvi"
    spec = importlib.util.spec_from_file_location(
        name, PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)]
    )
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.KnownCostEHVISampler


def cost(params):
    return params["depth"] * params["width"] ** 2 * (2.0 if params["kind"] is None else 1.0)


def score(params):
    size = 0.25 * min(params["depth"], 4) / 4 + 0.5 * params["width"] / 128
    return size + 0.2 * (params["rate"] > 1e-2) + 0.02 * (params["kind"] == "b")


def run(study, trials, space=SPACE, of_cost=cost):
    for _ in range(trials):
        trial = study.ask(space)
        study.tell(trial, (score(trial.params), of_cost(trial.params)))


def new_study(sampler):
    return optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)


def area(study):
    """The area under the best score so far over the cost, in decades."""
    trials = sorted((t.values[1], t.values[0]) for t in study.trials if t.values[1] <= BUDGET)
    costs = [c for c, _ in trials] + [BUDGET]
    best = itertools.accumulate((s for _, s in trials), max)
    decades = [math.log10(b / a) for a, b in itertools.pairwise(costs)]
    return sum(s * d for s, d in zip(best, decades, strict=True))


def test_proposals_keep_to_the_budget_and_never_repeat(sampler_class):
    study = new_study(sampler_class(SPACE, cost, budget=BUDGET, seed=1))
    run(study, 16)
    assert all(trial.values[1] <= BUDGET for trial in study.trials)
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 16


def test_it_finds_more_than_random_search_does(sampler_class):
    ours = new_study(sampler_class(SPACE, cost, budget=BUDGET, seed=0))
    theirs = new_study(optuna.samplers.RandomSampler(seed=0))
    run(ours, 20)
    run(theirs, 60)
    assert area(ours) > area(theirs)


def test_the_same_seed_proposes_the_same(sampler_class):
    studies = [new_study(sampler_class(SPACE, cost, budget=BUDGET, seed=5)) for _ in range(2)]
    for study in studies:
        run(study, 10)
    assert studies[0].trials[-1].params == studies[1].trials[-1].params


def test_a_small_space_ends_when_all_that_fits_was_tried(sampler_class):
    space = {"depth": IntDistribution(1, 3), "kind": CategoricalDistribution(["a", "b"])}
    of_cost = lambda params: float(params["depth"])  # noqa: E731
    study = new_study(sampler_class(space, of_cost, budget=2.0))
    for _ in range(4):
        trial = study.ask(space)
        study.tell(trial, (0.5, of_cost(trial.params)))
    with pytest.raises(RuntimeError, match="has been tried"):
        study.ask(space)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan")])
def test_an_impossible_cost_is_named(sampler_class, wrong):
    with pytest.raises(ValueError, match=r"cost\(params\)"):
        sampler_class(SPACE, lambda params: wrong, budget=1.0)
