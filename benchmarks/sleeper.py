"""The worker of `cluster_scale`: sleeps where another trains."""

import time

import numpy as np
from cluster_scale import WEIGHTS_BYTES, epoch_result

from search.trainable import WEIGHTS, ProxyTrainable


class Sleeper(ProxyTrainable):
    """An epoch is `recipe.sleep` seconds of sleep and a made-up accuracy."""

    def setup(self, config, dataset=None, recipe=None, threads=1, gpus=0.0) -> None:
        self._recipe = recipe
        self._start(config)

    def _start(self, config) -> None:
        self._trial, self._parts, self._epoch, self._training = config, 1, 0, None

    def _train_one_epoch(self):
        time.sleep(self._recipe.sleep)
        self._epoch += 1
        result = epoch_result(self._trial["flops"], self._trial["seed"], self._epoch)
        if self._epoch < self._recipe.epochs:
            return result
        return result | {
            "finished": True, "done": True, WEIGHTS: np.zeros(WEIGHTS_BYTES, np.uint8)
        }  # fmt: skip
