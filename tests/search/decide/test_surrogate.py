"""The Gaussian process: against scikit-learn's at the same hyperparameters, and at the edges."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from search.decide import surrogate as module
from search.decide.surrogate import Surrogate, logit


def data(count=40, dims=5, noise=0.02, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.random((count, dims))
    logits = np.sin(3 * features[:, 0]) + features[:, 1] + noise * rng.normal(size=count)
    return features, 1 / (1 + np.exp(-logits))


def test_posterior_equals_scikit_learns_at_the_same_hyperparameters():
    features, accuracies = data()
    ours = Surrogate(features, accuracies)
    kernel = ConstantKernel(ours._signal) * Matern(ours._lengths, nu=2.5) + WhiteKernel(ours._noise)
    theirs = GaussianProcessRegressor(kernel, alpha=module.JITTER, optimizer=None)
    targets = logit(accuracies)
    theirs.fit(features, (targets - targets.mean()) / targets.std())
    new = np.random.default_rng(1).random((20, 5))
    mean, sd = theirs.predict(new, return_std=True)
    ours_mean, ours_sd = ours._posterior(new)
    np.testing.assert_allclose(ours_mean, mean, atol=1e-6)
    np.testing.assert_allclose(ours_sd, np.sqrt(sd**2 - ours._noise), atol=1e-5)


def test_gradient_finds_a_mode_that_no_neighbour_beats(monkeypatch):
    features, accuracies = data()
    targets = logit(accuracies)
    targets = (targets - targets.mean()) / targets.std()
    seen = {}
    minimize = module.minimize

    def keep(function, start, **options):
        seen["function"] = function
        return minimize(function, start, **options)

    monkeypatch.setattr(module, "minimize", keep)
    theta = module._most_probable(features, targets)
    function = seen["function"]
    value, gradient = function(theta + 0.1)
    for i in range(len(theta)):
        step = np.zeros(len(theta))
        step[i] = 1e-5
        slope = (function(theta + 0.1 + step)[0] - function(theta + 0.1 - step)[0]) / 2e-5
        assert gradient[i] == pytest.approx(slope, rel=1e-4, abs=1e-5)
    assert function(theta)[0] < value


def test_prediction_of_an_unseen_network_is_close_and_surer_than_before():
    features, accuracies = data(80)
    mean, sd = Surrogate(features[:60], accuracies[:60]).predict(features[60:])
    assert np.abs(mean - accuracies[60:]).mean() < 0.02
    assert (sd < accuracies.std()).all()


@pytest.mark.parametrize("count", [10, 20])
def test_an_interval_for_one_training_holds_as_often_as_it_says(count):
    """Twenty features of which two matter, noise as large as the rest of the signal."""
    held = []
    for seed in range(8):
        features, accuracies = data(count + 200, dims=20, noise=0.3, seed=seed)
        low, high = Surrogate(features[:count], accuracies[:count]).interval(features[count:])
        held.append((low <= accuracies[count:]) & (accuracies[count:] <= high))
    assert 0.85 <= np.mean(held) <= 0.96


def test_believing_a_pending_network_makes_it_certain_and_moves_nothing():
    features, accuracies = data(30)
    surrogate, pending = Surrogate(features, accuracies), np.full((1, 5), 0.5)
    before, unsure = surrogate.predict(pending)
    surrogate.believe(pending)
    after, sure = surrogate.predict(pending)
    assert after[0] == pytest.approx(before[0], abs=0.01)
    assert sure[0] < unsure[0]


def test_more_observations_are_taken_in_as_if_they_had_been_there(monkeypatch):
    features, accuracies = data(30)
    part = Surrogate(features[:27], accuracies[:27])
    before = part.predict(features)
    more = part.given(features[27:], accuracies[27:])
    mode = np.log([part._signal, *part._lengths, part._noise])
    monkeypatch.setattr(module, "_most_probable", lambda features, targets: mode)
    whole = Surrogate(features, accuracies)
    # The mean and spread of the logits, which all are measured by, stay those of the first.
    whole._targets = (logit(accuracies) - part._centre) / part._scale
    whole._centre, whole._scale = part._centre, part._scale
    whole._weights = np.linalg.solve(whole._factor @ whole._factor.T, whole._targets)
    np.testing.assert_allclose(more.predict(features), whole.predict(features), atol=1e-9)
    np.testing.assert_array_equal(part.predict(features), before)


@pytest.mark.parametrize("value", [0.0, 0.1, 0.5, 1.0])
def test_equal_accuracies_are_predicted_as_they_are(value):
    features, _ = data(12)
    mean, sd = Surrogate(features, np.full(12, value)).predict(features)
    np.testing.assert_allclose(mean, np.clip(value, 1e-3, 1 - 1e-3), atol=1e-3)
    assert np.isfinite(sd).all()


def test_constant_features_and_twins_do_not_break_the_fit():
    features, accuracies = data(12)
    features[:, 2] = 0.0
    doubled = np.concatenate([features, features])
    mean, _ = Surrogate(doubled, np.concatenate([accuracies, accuracies])).predict(features)
    assert np.abs(mean - accuracies).max() < 0.05
