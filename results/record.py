"""One trial as the study holds it: `TrialRecord` with its learning curve of `Epoch`s.

Reads the attributes the search wrote; how they got there and what follows from them is elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from space import Architecture

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

State = Literal["running", "complete", "stopped", "failed"]

# States of proposals that were never trained, or not to an end: no record of a training.
NEVER_TRAINED = ("over_budget", "duplicate", "interrupted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One epoch of a trial's learning curve; `epoch` counts from 1, `accuracy` is a fraction of the
    validation images, `seconds` is the time of this epoch alone."""

    epoch: int
    train_loss: float
    val_loss: float
    accuracy: float
    seconds: float
    images_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One trained architecture, or one whose training failed and why.

    `flops` are multiply-accumulates of one image. `state`: "complete" trained every epoch,
    "stopped" was ended early by the scheduler. `test_accuracy` is read once, after the search, for
    members of the frontier. `baseline` names a reference that the search did not propose.
    """

    trial: int
    architecture: Architecture
    flops: int
    params: int
    state: State
    seed: int
    curve: tuple[Epoch, ...] = ()
    seconds: float | None = None
    baseline: str | None = None
    error: str | None = None
    error_kind: str | None = None
    traceback: str | None = None
    test_accuracy: float | None = None
    worker: str | None = None
    started: float | None = None

    def __post_init__(self) -> None:
        if self.state not in get_args(State):
            raise ValueError(
                f"`state` must be one of {', '.join(get_args(State))}, but got {self.state!r}."
            )
        if not self.flops > 0:
            raise ValueError(f"`flops` must be positive, but got {self.flops!r}.")

    @property
    def accuracy(self) -> float | None:
        """Validation accuracy after the last epoch trained; None before the first."""
        return self.curve[-1].accuracy if self.curve else None

    @property
    def epochs(self) -> int:
        """Epochs trained."""
        return self.curve[-1].epoch if self.curve else 0


def record_from_trial(
    trial: FrozenTrial, study_attrs: Mapping[str, Any] | None = None
) -> TrialRecord | None:
    """The record of one Optuna trial; None where nothing was trained (over budget, duplicate,
    interrupted, asked for and not yet described) and where a failed trial was asked again.
    Raises ValueError on attributes the search did not write."""
    attrs = trial.user_attrs
    if attrs.get("state") in NEVER_TRAINED or (study_attrs or {}).get(f"retried:{trial.number}"):
        return None
    state = _STATES[trial.state.name]
    if state in ("running", "failed") and not all(name in attrs for name in _DESCRIPTION):
        return None
    try:
        return TrialRecord(
            trial=trial.number,
            architecture=Architecture.from_dict(attrs["architecture"]),
            flops=attrs["flops"],
            params=attrs["params"],
            state=state,
            seed=attrs["seed"],
            curve=tuple(_epoch(epoch) for epoch in attrs.get("curve", ())),
            seconds=attrs.get("seconds"),
            baseline=attrs.get("baseline"),
            error=attrs.get("error"),
            error_kind=attrs.get("error_kind"),
            traceback=attrs.get("traceback"),
            test_accuracy=(study_attrs or {}).get(f"test_accuracy:{trial.number}"),
            worker=attrs.get("worker"),
            started=attrs.get("started"),
        )
    except KeyError as error:
        raise ValueError(
            f"Trial {trial.number} of the study must have the attribute {error}, but has "
            f"{sorted(attrs)}: the study was not written by vit-frontier, or by another version."
        ) from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"Trial {trial.number} of the study cannot be read: {error}") from error


_DESCRIPTION = ("architecture", "flops", "params", "seed")  # written one by one after the ask

# Optuna's state decides, not our attribute: the attribute is written a moment before it.
_STATES: dict[str, State] = {
    "RUNNING": "running",
    "WAITING": "running",
    "COMPLETE": "complete",
    "PRUNED": "stopped",
    "FAIL": "failed",
}


def _epoch(values: Mapping[str, Any]) -> Epoch:
    return Epoch(
        epoch=int(values["epoch"]),
        train_loss=float(values["train_loss"]),
        val_loss=float(values["val_loss"]),
        accuracy=float(values["accuracy"]),
        seconds=float(values["seconds"]),
        images_per_second=float(values["images_per_second"]),
    )


def finite(value: float | None) -> float | None:
    """The number, or `None` for NaN and infinity, which JSON does not have."""
    return value if value is not None and math.isfinite(value) else None
