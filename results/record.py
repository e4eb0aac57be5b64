"""The schema of a trial in the study, both ways: `TrialRecord` and its learning curve of `Epoch`s.

Every attribute that is written or read has its name here, and nowhere else.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from space import Architecture
from space.rules import Rule, check_fields, one_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

State = Literal["running", "complete", "stopped", "failed"]

# States of proposals that were never trained, or not to an end: no record of a training.
NEVER_TRAINED = ("over_budget", "duplicate", "interrupted")

# Of a finished trial's attributes, what samplers and the ledger ask for: these stay in memory.
ASKED_FOR = ("state", "flops", "params", "seed", "baseline", "error", "error_kind", "curve")

_DESCRIPTION = ("architecture", "flops", "params", "seed")  # written one by one after the ask
BUILT = "built"  # by kind, the blocks it was built in or after: the genes' places are relative
_OUTCOME = ("seconds", "started", "worker", "error_kind", "error", "traceback")  # where known


TEST_READINGS = "test_readings"  # of the study: which trials were tested, each time some were


def is_foreign(trial: FrozenTrial) -> bool:
    """Whether a trial that has an outcome was not written by a search: added to the study by
    hand."""
    attrs = trial.user_attrs
    return (
        trial.state.name in ("COMPLETE", "PRUNED")
        and attrs.get("state") not in NEVER_TRAINED
        and not any(name in attrs for name in ("flops", "params", "seed"))
    )


def retried_key(trial: int) -> str:
    """The study's attribute that says: this failed trial was asked again, and does not count."""
    return f"retried:{trial}"


def test_accuracy_key(trial: int) -> str:
    """The study's attribute that holds the test accuracy of a trial."""
    return f"test_accuracy:{trial}"


# pytest would take it for a test
test_accuracy_key.__test__ = False  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One epoch of a trial's learning curve.

    `epoch` counts from 1. `accuracy` is a fraction of the validation images, or the run's metric on
    them; `top1` is that fraction then. `seconds` is the time of this epoch alone.
    """

    epoch: int
    train_loss: float
    val_loss: float
    accuracy: float
    seconds: float
    images_per_second: float
    top1: float | None = None

    @classmethod
    def from_report(cls, values: Mapping[str, Any]) -> Epoch:
        """The epoch that a training reported, or a study holds. Raises KeyError on a missing one.

        Other keys are left out: Ray Tune puts many into every result.
        """
        return cls(
            epoch=int(values["epoch"]),
            train_loss=float(values["train_loss"]),
            val_loss=float(values["val_loss"]),
            accuracy=float(values["accuracy"]),
            seconds=float(values["seconds"]),
            images_per_second=float(values["images_per_second"]),
            top1=None if values.get("top1") is None else float(values["top1"]),
        )

    def to_attr(self) -> dict[str, Any]:
        """Its form in the study's attribute `curve`."""
        known = {name: getattr(self, name) for name in self.__slots__}
        return known if self.top1 is not None else {k: v for k, v in known.items() if k != "top1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One trained architecture, or one whose training failed and why."""

    # `flops` are multiply-accumulates of one image. `state`: "complete" trained every epoch,
    # "stopped" was ended early by the scheduler. `test_accuracy` is read once, after the search,
    # for members of the frontier. `baseline` names a reference that the search did not propose.
    # `seconds` is the training's time, `started` is in seconds since 1970.

    trial: int
    architecture: Architecture
    flops: Annotated[int, Rule("positive", lambda x: x > 0)]
    params: int
    state: Annotated[State, one_of(*get_args(State))]
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
        check_fields(self)

    @property
    def accuracy(self) -> float | None:
        """The run's metric, by default accuracy, of the validation images after the last epoch
        trained; None before the first."""
        return self.curve[-1].accuracy if self.curve else None

    @property
    def top1(self) -> float | None:
        """The share of validation images that is right, where the run's metric is another."""
        return self.curve[-1].top1 if self.curve else None

    @property
    def epochs(self) -> int:
        """Epochs trained."""
        return self.curve[-1].epoch if self.curve else 0

    @classmethod
    def from_trial(
        cls, trial: FrozenTrial, study_attrs: Mapping[str, Any] | None = None
    ) -> TrialRecord | None:
        """The record of one Optuna trial, or None where no training is to be told of. Raises
        ValueError on attributes the search did not write."""
        # None: over budget, duplicate, interrupted, asked for and not yet described, failed and
        # asked again, added by hand.
        attrs, study_attrs = trial.user_attrs, study_attrs or {}
        if attrs.get("state") in NEVER_TRAINED or study_attrs.get(retried_key(trial.number)):
            return None
        if is_foreign(trial):
            return None
        state = _STATES[trial.state.name]
        if state in ("running", "failed") and not all(name in attrs for name in _DESCRIPTION):
            return None
        try:
            return cls(
                trial=trial.number,
                architecture=Architecture.from_dict(attrs["architecture"]),
                flops=attrs["flops"],
                params=attrs["params"],
                state=state,
                seed=attrs["seed"],
                curve=tuple(Epoch.from_report(epoch) for epoch in attrs.get("curve", ())),
                baseline=attrs.get("baseline"),
                test_accuracy=study_attrs.get(test_accuracy_key(trial.number)),
                **{name: attrs.get(name) for name in _OUTCOME},
            )
        except KeyError as error:
            raise ValueError(
                f"Trial {trial.number} of the study must have the attribute {error}, but has "
                f"{sorted(attrs)}: the study was not written by vit-frontier, or by another "
                "version."
            ) from None
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Trial {trial.number} of the study cannot be read: {error}"
            ) from error

    def to_attrs(self) -> dict[str, Any]:
        """The attributes of its trial; of a running one, what it is described by."""
        described = {
            "architecture": self.architecture.to_dict(),
            "flops": self.flops,
            "params": self.params,
            "seed": self.seed,
        }
        if self.baseline is not None:
            described["baseline"] = self.baseline
        if self.state == "running":
            return described
        known = {name: getattr(self, name) for name in _OUTCOME}
        return {
            **described,
            "curve": [epoch.to_attr() for epoch in self.curve],
            **{name: value for name, value in known.items() if value is not None},
            "state": self.state,
        }

    def in_short(self) -> TrialRecord:
        """The record with the last epoch alone, and of its outcome what is `ASKED_FOR`."""
        dropped: dict[str, Any] = {name: None for name in _OUTCOME if name not in ASKED_FOR}
        return dataclasses.replace(self, curve=self.curve[-1:], **dropped)


record_from_trial = TrialRecord.from_trial


# Optuna's state decides, not our attribute: the attribute is written a moment before it.
_STATES: dict[str, State] = {
    "RUNNING": "running",
    "WAITING": "running",
    "COMPLETE": "complete",
    "PRUNED": "stopped",
    "FAIL": "failed",
}


def finite(value: float | None) -> float | None:
    """The number, or `None` for NaN and infinity, which JSON does not have."""
    return value if value is not None and math.isfinite(value) else None
