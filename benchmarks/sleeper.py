"""The worker of `cluster_scale`: sleeps where another trains, and makes up an accuracy."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from search.cluster.worker import WEIGHTS, ProxyTrainable

EPOCHS, BUDGET = 9, 30_000_000
WEIGHTS_BYTES = 100_000


def accuracy(flops: float, seed: int, epoch: int) -> float:
    """Larger is better, later is better, with noise."""
    noise = np.random.default_rng((seed, epoch)).normal(0.0, 0.02)
    final = 1.0 / (1.0 + math.exp(-1.5 - math.log10(flops / BUDGET)) + 0.2)
    return float(np.clip(final * (0.6 + 0.4 * epoch / EPOCHS) + noise, 0.0, 1.0))


def epoch_result(flops: float, seed: int, epoch: int) -> dict[str, Any]:
    return {
        "epoch": epoch, "train_loss": 1.0, "val_loss": 1.0, "seconds": 0.1,
        "images_per_second": 100.0, "accuracy": accuracy(flops, seed, epoch),
    }  # fmt: skip


class Sleeper(ProxyTrainable):
    """An epoch is `recipe.sleep` seconds of sleep."""

    def setup(
        self,
        config: dict[str, Any],
        dataset: Any = None,
        recipe: Any = None,
        threads: int = 1,
        gpus: float = 0.0,
        graphs: bool = False,
    ) -> None:
        self._recipe = recipe
        self._start(config)

    def _start(self, config: dict[str, Any]) -> None:
        self._trial, self._parts, self._epoch, self._training = config, 1, 0, None

    def _train_one_epoch(self) -> dict[str, Any]:
        time.sleep(self._recipe.sleep)
        self._epoch += 1
        result = epoch_result(self._trial["flops"], self._trial["seed"], self._epoch)
        if self._epoch < EPOCHS:
            return result
        weights = np.zeros(WEIGHTS_BYTES, np.uint8)
        return result | {"finished": True, "done": True, WEIGHTS: weights}
