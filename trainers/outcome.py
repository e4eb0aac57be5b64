"""One proxy training from its start to its end, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from space import Architecture
from trainers.errors import CaptureError, error_kind
from trainers.images.dataset import Dataset
from trainers.proxy import EpochReport, proxy_epochs
from trainers.recipe import Recipe

State = Literal["complete", "stopped", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOutcome:
    """How one training ended. `model` is there unless it failed: in eval mode, on its device."""

    state: State
    curve: tuple[EpochReport, ...]
    seconds: float
    error: str | None = None
    error_kind: str | None = None
    model: nn.Module | None = None

    @property
    def accuracy(self) -> float | None:
        """Validation accuracy after the last epoch that ran."""
        return self.curve[-1]["accuracy"] if self.curve else None


def train_proxy(
    architecture: Architecture,
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    report: Callable[[EpochReport], bool | None] | None = None,
    *,
    device: str | torch.device | None = None,
    graphs: bool = False,
    metric: str = "accuracy",
) -> TrialOutcome:
    """Trains to the end, to failure, or until `report(epoch)` returns False; the options are those
    of `proxy_epochs`. What the training raises is in `error` and `error_kind`, but for
    CaptureError, after which the process must end."""
    started, curve = time.perf_counter(), list[EpochReport]()

    def outcome(state: State, **rest: Any) -> TrialOutcome:
        seconds = time.perf_counter() - started
        return TrialOutcome(state=state, curve=tuple(curve), seconds=seconds, **rest)

    try:
        training = proxy_epochs(
            architecture, dataset, recipe, seed=seed, device=device, graphs=graphs, metric=metric
        )
        for epoch in training:
            curve.append(epoch)
            if report is not None and report(epoch) is False and epoch["epoch"] < recipe.epochs:
                return outcome("stopped", model=training.model)
    except CaptureError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return outcome("failed", error=reason, error_kind=error_kind(error))
    return outcome("complete", model=training.model)
