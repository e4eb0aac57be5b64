"""How long the rest of a search takes, from the FLOPs of what ran and of what is left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from results import TrialRecord
    from search.study.jobs import LiveTrial


class Pace:
    """Seconds per FLOP of an epoch, over the trials of this session. `epochs`: of a whole
    training."""

    def __init__(self, *, epochs: int | None) -> None:
        self._epochs = epochs
        self._trials = self._at_once = 0
        self._work = self._seconds = 0.0  # FLOPs times epochs of what ended, and how long it took

    def finished(self, record: TrialRecord) -> None:
        """A trial ended; one that was stopped early took its part of the epochs."""
        if record.epochs and record.seconds is not None:
            self._trials += 1
            self._work += record.flops * record.epochs
            self._seconds += record.seconds
            self._epochs = self._epochs or record.epochs

    def left(self, live: Sequence[LiveTrial], remaining: int) -> float | None:
        """Seconds until the `live` trials and as many as `remaining` have ended, side by side as
        they are now; None while nobody can know."""
        self._at_once = max(self._at_once, len(live))
        done = [(t.flops, t.curve[-1]["epoch"]) for t in live if t.curve]
        work = self._work + sum(flops * epoch for flops, epoch in done)
        spent = self._seconds + sum(time.monotonic() - t.began for t in live if t.curve)
        if not work or not self._epochs or not (live or remaining):
            return None
        rate = spent / work
        rest = [
            t.flops * max(0, self._epochs - (t.curve[-1]["epoch"] if t.curve else 0)) for t in live
        ]
        # A trial to come takes what those that ended took on average, early stops among them.
        mean = self._work / self._trials if self._trials else max(rest, default=0)
        together = (sum(rest) + remaining * mean) / max(1, self._at_once)
        return rate * max(together, max(rest, default=0.0))
