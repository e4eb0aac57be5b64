"""A search from Python: `search.search` and `search.resume`, as the commands do it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.plan import (
    GIVEN,
    Plan,
    carry_out,
    finished_already,
    plan_resume,
    plan_search,
    read_changes,
)

if TYPE_CHECKING:
    from rich.console import Console

    from results import Run
    from space import SearchSpace
    from trainers import Dataset, Recipe


def search(
    budget: str | int,
    data: str | Path | Dataset = "digits",
    *,
    space: str | SearchSpace | None = None,
    recipe: Recipe | str | Path | None = None,
    train: Callable[..., Any] | str | None = None,
    show: bool = False,
    **options: Any,
) -> Run:
    """Searches for the networks on the accuracy/FLOPs frontier, as `vit-frontier search
    --no-confirm` does; `search.confirming.confirm(run)` then trains what was found again.

    `budget`: FLOPs of one image, "2M" or a number; `data`: digits, an image folder, a name that
    timm.data knows, or a `trainers.Dataset`. `train`: a training loop of one's own with the
    contract of `trainers.train_proxy`, a function or "module:function", which a resume can find
    again; by a `metric`, that is what it reports as accuracy. `recipe`: a whole one, or a TOML file
    of some of its fields. `options`: those of the command line by name (trials=36, time_limit="2h",
    seed=0, lr=1e-3, augment="crop", workers="auto", out="runs/mine", ...). `show` prints what the
    command line does.

    Ctrl-C ends it early: the run then has `finished` False and can be resumed. A second one, or one
    before the first trial, raises KeyboardInterrupt. Raises ValueError on wrong use, OSError where
    the run folder cannot be written, ClusterLostError where the head of the Ray cluster is lost.
    """
    from trainers import Dataset

    given = data if isinstance(data, Dataset) else None
    console = _console(show=show)
    asked = {"budget": budget, "space": space, "recipe": recipe, **options}
    asked["data"] = str(data) if given is None else GIVEN + given.name
    plan = plan_search(asked, console, dataset=given, train=train)
    return _called(plan, console, command=[sys.argv[0] or "python"])


def resume(
    run: str | Path,
    *,
    data: Dataset | None = None,
    train: Callable[..., Any] | str | None = None,
    show: bool = False,
    **options: Any,
) -> Run:
    """Goes on with a run, as `vit-frontier resume` does; `options`: trials, time_limit, workers,
    cpus_per_trial, gpus_per_trial, address. `data` and `train` are given again where a program gave
    them to `search`. Raises ValueError."""
    console = _console(show=show)
    changes = read_changes(options)
    if (done := finished_already(Path(run), changes)) is not None:
        return done
    plan = plan_resume(Path(run), changes, console, dataset=data, train=train)
    return _called(plan, console, command=None)


def _called(plan: Plan, console: Console, *, command: list[str] | None) -> Run:
    """`carry_out` for a program, which a second Ctrl-C must not end."""
    try:
        return carry_out(plan, console, command=command)[0]
    except SystemExit:
        raise KeyboardInterrupt from None


def _console(*, show: bool) -> Console:
    from rich.console import Console

    return Console(quiet=not show)
