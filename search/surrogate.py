"""Accuracy from features of an architecture: a Gaussian process on the logit. No Optuna here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

Array = NDArray[np.float64]

# Accuracies of exactly 0 and 1 have no logit.
CLIP = 1e-3
# Log-normal priors, as with twenty observations and twenty features the likelihood alone overfits:
# (mean, standard deviation) of the log of signal variance, length scales and noise variance, for
# features in [0, 1] and standardised targets. A length scale of about e: few features matter much.
SIGNAL, LENGTH, NOISE = (0.0, 1.0), (1.0, 1.0), (-4.0, 1.0)
ITERATIONS = 50
FIT_POINTS = 100  # the hyperparameters are fitted on at most that many observations,
POINTS = 400  # and the posterior uses at most that many
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(16)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


class Surrogate:
    """Gaussian process, Matern 5/2 with a length scale for each feature, with noise, on logits.

    Fitted to `features` (N, D) scaled to about [0, 1] and `accuracies` (N,). The hyperparameters
    are the most probable ones; no random numbers. `subset` are the rows the hyperparameters see.
    """

    def __init__(self, features: Array, accuracies: Array, subset: Array | None = None) -> None:
        targets = logit(accuracies)
        self._centre = float(targets.mean())
        self._scale = max(float(targets.std()), 1e-3)
        self._features = features
        self._targets = (targets - self._centre) / self._scale
        rows = np.arange(len(features)) if subset is None else subset
        kernel = ConstantKernel(1.0, (0.05, 50.0)) * Matern(
            np.full(features.shape[1], np.e), (0.05, 1e3), nu=2.5
        ) + WhiteKernel(np.exp(NOISE[0]), (1e-6, 1.0))
        fitted = GaussianProcessRegressor(kernel, alpha=1e-8, optimizer=_most_probable)
        fitted.fit(features[rows], self._targets[rows])
        self._kernel = fitted.kernel_
        self._process = fitted
        if subset is not None:
            self._condition()

    def _condition(self) -> None:
        self._process = GaussianProcessRegressor(self._kernel, alpha=1e-8, optimizer=None)
        self._process.fit(self._features, self._targets)

    def believe(self, features: Array) -> None:
        """Takes its own prediction at `features` for observed: what is being trained right now."""
        mean, _ = self._predict(features)
        self._features = np.concatenate([self._features, features])
        self._targets = np.concatenate([self._targets, mean])
        self._condition()

    def _predict(self, features: Array) -> tuple[Array, Array]:
        mean, sd = self._process.predict(features, return_std=True)
        noise = self._kernel.k2.noise_level  # predict() gives what would be observed
        return mean, np.sqrt(np.maximum(sd**2 - noise, 1e-10))

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the accuracy itself, without the noise, in [0, 1]."""
        mean, sd = self._predict(features)
        draws = mean[:, None] + sd[:, None] * _NODES  # (N, nodes)
        accuracies = 1.0 / (1.0 + np.exp(-(draws * self._scale + self._centre)))
        expected = accuracies @ _WEIGHTS
        variance = (accuracies - expected[:, None]) ** 2 @ _WEIGHTS
        return expected, np.sqrt(variance)


def logit(accuracies: Array) -> Array:
    """log(p / (1 - p)), with p kept off 0 and 1."""
    clipped = np.clip(accuracies, CLIP, 1.0 - CLIP)
    return np.asarray(np.log(clipped / (1.0 - clipped)))


def _most_probable(
    objective: Callable[..., Any], initial_theta: Array, bounds: Array
) -> tuple[Array, float]:
    """scikit-learn's optimiser argument: likelihood and priors together."""
    lengths = len(initial_theta) - 2
    mean = np.array([SIGNAL[0], *[LENGTH[0]] * lengths, NOISE[0]])
    sd = np.array([SIGNAL[1], *[LENGTH[1]] * lengths, NOISE[1]])

    def negative_log_posterior(theta: Array) -> tuple[float, Array]:
        value, gradient = objective(theta)
        scaled = (theta - mean) / sd
        return value + 0.5 * float(scaled @ scaled), gradient + scaled / sd

    result = minimize(
        negative_log_posterior,
        np.clip(mean, bounds[:, 0], bounds[:, 1]),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": ITERATIONS},
    )
    return result.x, float(result.fun)
