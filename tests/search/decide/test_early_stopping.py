"""Early stopping by expected gain, on made-up curves of real networks of the digits space."""

import math

import numpy as np
import pytest

from search.decide.early_stopping import FreezeThaw
from search.decide.problem import SpaceProblem
from space import SearchSpace

EPOCHS, BUDGET = 9, 1_000_000


@pytest.fixture(scope="module")
def problem():
    space = SearchSpace.load("digits").fit(img_size=8, in_chans=1, num_classes=10)
    return SpaceProblem(space, budget=BUDGET)


@pytest.fixture(scope="module")
def networks(problem):
    """Twelve networks that fit, from the cheapest to the dearest."""
    rng = np.random.default_rng(1)
    drawn = [problem.sample(rng) for _ in range(400)]
    fitting = sorted((n for n in drawn if problem.fits(n)), key=problem.cost)
    return fitting[:: len(fitting) // 12][:12]


def make_rule(problem, networks, **options):
    return FreezeThaw(
        problem, networks.__getitem__, max_epochs=EPOCHS, reference_accuracy=0.1, **options
    )


def accuracy(problem, network, epoch, *, deficit=0.0):
    """What a network of that cost has after `epoch` epochs; `deficit` below its peers."""
    size = math.log10(problem.cost(network) / 3e4)
    return (0.6 + 0.2 * size - deficit) * (1.0 - 0.6 * math.exp(-epoch / 2))


def train(rule, problem, networks, trial, *, deficit=0.0):
    """The epoch after which the rule stops the trial; None if it never does."""
    for epoch in range(1, EPOCHS + 1):
        goes_on = rule.report(
            trial,
            flops=problem.cost(networks[trial]),
            epoch=epoch,
            accuracy=accuracy(problem, networks[trial], epoch, deficit=deficit),
        )
        if not goes_on and epoch < EPOCHS:
            return epoch
    return None


def test_what_falls_far_behind_is_stopped_and_what_leads_is_not(problem, networks):
    rule = make_rule(problem, networks)
    for trial in (0, 2, 4, 6, 8, 10):
        assert train(rule, problem, networks, trial) is None
    assert train(rule, problem, networks, 7, deficit=0.4) == 1
    assert train(rule, problem, networks, 9, deficit=-0.05) is None


def test_the_large_end_is_not_starved(problem, networks):
    """The dearest network learns most slowly, yet nothing beats it at its cost."""
    rule = make_rule(problem, networks)
    for trial in (0, 2, 4, 6):
        train(rule, problem, networks, trial)
    assert train(rule, problem, networks, 11, deficit=0.05) is None


def test_nothing_is_stopped_before_as_many_as_the_reduction_factor_are_complete(problem, networks):
    rule = make_rule(problem, networks)
    for trial in (4, 8):
        train(rule, problem, networks, trial)
    assert train(rule, problem, networks, 5, deficit=0.5) is None


def test_a_nan_stops_at_once(problem, networks):
    rule = make_rule(problem, networks)
    assert not rule.report(0, flops=1.0, epoch=1, accuracy=math.nan)
    assert not rule.report(0, flops=1.0, epoch=1, accuracy=None)


def test_what_a_study_holds_is_learned_without_deciding_anew(problem, networks):
    seen, told = make_rule(problem, networks), make_rule(problem, networks)
    curves = []
    for trial in (0, 2, 4, 6, 8, 10):
        train(seen, problem, networks, trial)
        points = [
            {"epoch": e, "accuracy": accuracy(problem, networks[trial], e)}
            for e in range(1, EPOCHS + 1)
        ]
        curves.append((trial, problem.cost(networks[trial]), points))
    told.take_in(curves)
    for trial, deficit in ((1, 0.0), (3, 0.3), (5, 0.02), (7, 0.4), (9, 0.1)):
        expected = train(seen, problem, networks, trial, deficit=deficit)
        assert train(told, problem, networks, trial, deficit=deficit) == expected


@pytest.mark.slow
def test_hundreds_of_trials_are_fitted_to_a_few_times_and_decided_on_alike_in_any_order(
    problem, monkeypatch
):
    """What is remembered of earlier decisions only saves time: a rule that has just read the study,
    the trials in another order, decides alike."""
    rng = np.random.default_rng(2)
    networks = [n for n in (problem.sample(rng) for _ in range(1400)) if problem.fits(n)][:150]
    fits = []
    fit = FreezeThaw._fit
    monkeypatch.setattr(FreezeThaw, "_fit", lambda *a: fits.append(1) or fit(*a))
    deficits = rng.uniform(0.0, 0.3, len(networks)).tolist()
    curves = [
        (
            trial,
            problem.cost(network),
            [
                {"epoch": e, "accuracy": accuracy(problem, network, e, deficit=deficits[trial])}
                for e in range(1, EPOCHS + 1)
            ],
        )
        for trial, network in enumerate(networks)
    ]
    seen = make_rule(problem, networks)
    seen.take_in(curves[:120])
    decided = [train(seen, problem, networks, t, deficit=deficits[t]) for t in range(120, 150)]
    assert len(set(decided)) == 3  # at the first rung, at the second, never
    assert 1 < len(fits) < 12
    for middle in (125, 140):
        told = make_rule(problem, networks)
        known = [
            (trial, flops, curve[: decided[trial - 120] if trial >= 120 else None])
            for trial, flops, curve in curves[:middle]
        ]
        told.take_in([known[i] for i in rng.permutation(middle)])
        again = [train(told, problem, networks, t, deficit=deficits[t]) for t in range(middle, 150)]
        assert again == decided[middle - 120 :]


def test_a_rung_learns_from_its_own_results_and_later_ones(problem, networks):
    rule = make_rule(problem, networks)
    for trial in (0, 4, 8):
        train(rule, problem, networks, trial)
    rule.observe(2, flops=problem.cost(networks[2]), epoch=1, accuracy=0.4)
    assert rule.rungs[:2] == (1, 3)
    for rung, epochs, measured in ((1, {1, 3, EPOCHS}, {0, 2, 4, 8}), (3, {3, EPOCHS}, {0, 4, 8})):
        trials, seen, _ = rule._points(rung)
        assert (set(seen.tolist()), set(trials.tolist())) == (epochs, measured)


def test_a_trial_that_is_forgotten_measures_no_one(problem, networks):
    rule = make_rule(problem, networks)
    for trial in (0, 4, 8):
        train(rule, problem, networks, trial)
    rule.forget(0)
    assert train(rule, problem, networks, 5, deficit=0.5) is None  # two are complete


def test_a_share_of_nothing_stops_nothing(problem, networks):
    rule = make_rule(problem, networks, share=0.0)
    for trial in (0, 2, 4, 6, 8):
        train(rule, problem, networks, trial)
    assert train(rule, problem, networks, 7, deficit=0.5) is None


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_an_impossible_share_is_refused(problem, networks, share):
    with pytest.raises(ValueError, match="share"):
        make_rule(problem, networks, share=share)
