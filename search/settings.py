"""Everything a search was asked for, resolved and validated before the first trial."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from space import Architecture, SearchSpace, count_flops, count_params
from space.rules import (
    LIMITS,
    Rule,
    check_fields,
    check_keys,
    check_options,
    flag,
    integer,
    number,
    one_of,
    optional,
    text,
)
from trainers.metrics import METRICS
from trainers.recipe import PROXIES

LOGGERS = ("tensorboard", "wandb", "mlflow", "trackio")
SAMPLERS = ("frontier", "tpe", "nsga2", "gp", "random")
MOST_FLOPS = 10**21
MAX_WORKERS = 10**5
_SECONDS = number(above=0, high=1e9)
_GPUS = Rule(  # Ray reserves a part of one, or whole ones
    "0, a number from 0.01 to 1, or a whole number up to 10000",
    lambda x: (
        type(x) in (int, float) and (x == 0 or 0.01 <= x <= 1 or (1 < x <= 10**4 and x == int(x)))
    ),
)
_LOGS = Rule(
    f"some of {', '.join(LOGGERS)}, with commas between",
    lambda x: isinstance(x, str) and set(x.split(",")) <= set(LOGGERS),
)
_FIX = "choose one of these"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """One search. `None` means off, or for `workers`, `epochs` and `gpus_per_trial`: chosen from
    the machine and the data. Raises ValueError naming the option, its value and the fix."""

    # `budget`: multiply-accumulates of one image; `time_limit`: seconds; `silence`: seconds
    # without a report after which a worker is taken to hang and killed; `train`:
    # "module:function" of a training loop of one's own; `guessing`: what the metric is without
    # an image; `init`: a pretrained network, as `trainers.read_donor` takes it; `teacher`: the
    # network whose logits are learnt from, as `search.commands.teachers` takes it.

    budget: Annotated[int, integer(1, MOST_FLOPS)]
    space: SearchSpace
    data: Annotated[str, text()] = "digits"
    data_root: Annotated[str | None, optional(text())] = None
    out: Annotated[str, text()] = "runs/run"
    max_params: Annotated[int | None, optional(integer(1, 10**21))] = None
    img_size: Annotated[int | None, optional(integer(1, LIMITS["img_size"]))] = None
    train_samples: Annotated[int | None, optional(integer(1, 10**12))] = None
    val_samples: Annotated[int | None, optional(integer(1, 10**12))] = None
    trials: Annotated[int, integer(1, 10**7)] = 36
    time_limit: Annotated[float | None, optional(_SECONDS)] = None
    epochs: Annotated[int | None, optional(integer(1, 10**5))] = None
    proxy: Annotated[str, one_of(*PROXIES)] = "balanced"
    metric: Annotated[str, one_of(*METRICS)] = "accuracy"
    guessing: Annotated[float | None, optional(number(low=0.0, high=1.0))] = None
    sampler: Annotated[str, one_of(*SAMPLERS)] = "frontier"
    early_stopping: Annotated[bool, flag()] = True
    baselines: Annotated[bool, flag()] = True
    seed: Annotated[int, integer(0, 2**32 - 1)] = 0
    workers: Annotated[int | None, optional(integer(1, MAX_WORKERS))] = None
    cpus_per_trial: Annotated[float, number(low=0.01, high=10**4)] = 1.0
    gpus_per_trial: Annotated[float | None, optional(_GPUS)] = None
    cuda_graphs: Annotated[bool, flag()] = False
    silence: Annotated[float, _SECONDS] = 1800.0
    address: Annotated[str | None, optional(text())] = None
    storage: Annotated[str | None, optional(text())] = None
    log: Annotated[str | None, optional(_LOGS)] = None
    train: Annotated[str | None, optional(text())] = None
    init: Annotated[str | None, optional(text())] = None
    teacher: Annotated[str | None, optional(text())] = None

    def __post_init__(self) -> None:
        check_fields(self, option=True, fix=_FIX)
        self._check_that_one_fits()

    def _check_that_one_fits(self) -> None:
        smallest = self.space.smallest()
        if count_flops(smallest) > self.budget:
            raise ValueError(
                f"`--budget` (={self.budget} FLOPs) must be at least what the smallest "
                f"architecture of the space {self.space.name!r} costs, "
                f"{count_flops(smallest)} FLOPs ({_sizes(smallest)}): raise the budget or give a "
                "smaller space by --space."
            )
        if self.max_params is None:
            return
        leanest = self.space.leanest(self.budget) or smallest
        if count_params(leanest) > self.max_params:
            raise ValueError(
                f"`--max-params` (={self.max_params}) must be at least what the leanest "
                f"architecture of the space {self.space.name!r} within the budget of "
                f"{self.budget} FLOPs has, {count_params(leanest)} parameters "
                f"({_sizes(leanest)}): raise it or --budget, or give a smaller space by --space."
            )

    @classmethod
    def check_typed(cls, options: Mapping[str, Any]) -> None:
        """Raises ValueError on an option whose value cannot be, whatever the space and the images
        are: a mistake in typing does not wait for them."""
        check_options(cls, options, fix=_FIX)

    @property
    def loggers(self) -> tuple[str, ...]:
        """Who is told of every trial, beside events.jsonl."""
        return tuple(self.log.split(",")) if self.log else ()

    @property
    def reference_accuracy(self) -> float:
        """The accuracy of guessing, from which the hypervolume is measured."""
        return 1.0 / self.space.num_classes if self.guessing is None else self.guessing

    @property
    def on_this_machine(self) -> bool:
        """Whether Ray is started here for this search, and no cluster is joined."""
        return (self.address or os.environ.get("RAY_ADDRESS") or "local") == "local"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; `from_dict` gives the same settings back."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return values | {"space": self.space.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SearchSettings:
        """The settings of a run.json. Raises ValueError."""
        check_keys(
            "settings", values, [f.name for f in dataclasses.fields(cls)], ("budget", "space")
        )
        before = {"trials": 24, "proxy": "faithful"}  # what runs had that do not say it
        return cls(**{**before, **values, "space": SearchSpace.from_dict(values["space"])})


def _sizes(architecture: Architecture) -> str:
    a = architecture
    names = ("patch_size", "embed_dim", "depth", "num_heads")
    shape = ", ".join(f"{name}={getattr(a, name)}" for name in names if hasattr(a, name))
    ratio = getattr(a.stages[0].mlp, "ratio", 0)
    after = len(list(a.after_blocks()))
    return f"img_size={a.img_size}, {shape}, mlp_ratio={ratio:g}, {after} pools"
