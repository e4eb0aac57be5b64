"""A training loop of one's own, called by a worker epoch after epoch."""

from __future__ import annotations

import math
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from space.rules import show
from trainers.errors import NonFiniteLossError


def found(train: Callable[..., Any] | str) -> Callable[..., Any]:
    """The function, or that of "module:function", also of a file in the current folder, where
    workers look too. Raises ValueError."""
    function: Any = train
    if isinstance(train, str):
        module, _, name = train.partition(":")
        if os.getcwd() not in sys.path and "" not in sys.path:
            sys.path.append(os.getcwd())
        try:
            function = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(
                f"`train` (={train!r}) must be a function that every worker can import, but: "
                f"{error}."
            ) from None
    if not callable(function):
        raise ValueError(f"`train` (={train!r}) must be a function, but is {show(function)}.")
    called: Callable[..., Any] = function
    return called


class OwnTraining(Iterator[dict[str, Any]]):
    """The epochs of `train(architecture, dataset, recipe, seed, report)`, in a thread that waits in
    `report` until the next is asked for. Raises what the training raises, RuntimeError or
    NonFiniteLossError for an outcome that failed."""

    # What a report leaves out beside `epoch` and `accuracy` is filled in. `model` is that of the
    # outcome once the last epoch is over, else None.

    def __init__(
        self, train: Callable[..., Any] | str, architecture: Any, dataset: Any, recipe: Any,
        *, seed: int,
    ) -> None:  # fmt: skip
        self.model: Any = None
        self._train, self._arguments = found(train), (architecture, dataset, recipe, seed)
        self._last, self._done = recipe.epochs, 0
        self._said: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._turns: queue.Queue[bool] = queue.Queue()
        self._thread: threading.Thread | None = None

    def __next__(self) -> dict[str, Any]:
        if self._done == self._last:
            raise StopIteration
        started = time.perf_counter()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name="own-training")
            self._thread.start()
        else:
            self._turns.put(True)
        kind, value = self._said.get()
        if kind != "epoch":
            self._end(kind, value)
            raise RuntimeError(
                f"the training loop ended after epoch {self._done} of {self._last}: it must report "
                "every epoch of the recipe"
            )
        self._done += 1
        if self._done == self._last:
            self._turns.put(True)
            self._end(*self._said.get())
        missing = dict.fromkeys(("train_loss", "val_loss", "images_per_second"), math.nan)
        seconds = {"seconds": time.perf_counter() - started}
        return {**missing, **seconds, **value, "epoch": self._done}

    def close(self) -> None:
        """Ends the training at its next report."""
        self._turns.put(False)

    def _end(self, kind: str, value: Any) -> None:
        if kind == "error":
            raise value
        if kind == "epoch":
            raise RuntimeError(f"the training loop went on after epoch {self._last}, the last one")
        self.model = getattr(value, "model", None)
        if getattr(value, "state", "complete") == "failed":
            is_nan = getattr(value, "error_kind", None) == "nan"
            raise (NonFiniteLossError if is_nan else RuntimeError)(value.error)

    def _run(self) -> None:
        try:
            self._said.put(("outcome", self._train(*self._arguments, self._report)))
        except BaseException as error:
            self._said.put(("error", error))

    def _report(self, epoch: dict[str, Any]) -> bool:
        self._said.put(("epoch", dict(epoch)))
        return self._turns.get()
