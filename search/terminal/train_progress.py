"""What a person sees while one network is trained: a line an epoch, and steps within long ones."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console

from results.words import duration

PLAIN_SECONDS = 30.0  # between two lines within an epoch


def say(console: Console, text: str) -> None:
    """One line that stays."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


class TrainProgress:
    """Says how far a training of `epochs` is that began, or goes on, after `done`."""

    def __init__(self, console: Console, epochs: int, *, done: int) -> None:
        self._console, self._epochs, self._before, self._done = console, epochs, done, done
        self._started = self._said = time.monotonic()

    def say(self, text: str) -> None:
        """One line that stays."""
        say(self._console, text)

    def step(self, done: int, steps: int) -> None:
        """Cheap; to be called after every step of an epoch."""
        if time.monotonic() - self._said > PLAIN_SECONDS:
            self._said = time.monotonic()
            say(self._console, f"epoch {self._done + 1}: step {done} of {steps}")

    def epoch(self, report: dict[str, Any]) -> None:
        """Says what an epoch came to, by the better of its weights and their average."""
        self._done, self._said = report["epoch"], time.monotonic()
        best = max(report["accuracy"], report["ema_accuracy"] or 0.0)
        text = (
            f"epoch {self._done} of {self._epochs}: loss {report['train_loss']:.3f}, "
            f"accuracy {best:.4f}"
        )
        left = self._epochs - self._done
        pace = (time.monotonic() - self._started) / (self._done - self._before)
        say(self._console, text + (f", {duration(pace * left)} left" if left else ""))
