"""From `vit-frontier confirm` to what ran: options, networks, run folder, Ray, report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from results import Run, load_run, write_results
from results.confirmed import CONFIDENCE, CONFIRM_WEIGHTS
from results.study_file import CONFIRM_FILE
from search.confirm import Confirmation
from search.decide.confirming import Chosen, choose
from search.plan import Plan, plan_resume, read_changes
from search.study.errors import writing
from search.study.patience import Patience
from search.study.run_folder import only_driver
from search.study.storage import open_study
from search.teaching import lessons
from search.terminal.display import Display
from search.working import Work, work_off
from space.rules import check_fields, integer, optional, show

if TYPE_CHECKING:
    from rich.console import Console

    from search.cluster.tune import InTurn
    from trainers import Dataset, Recipe


AFTER_SEARCH = {"top": 6, "controls": 0, "seeds": 2}
"""How a search confirms at its end: by what `benchmarks/find_or_confirm.py` found to be best."""


def is_to_be_confirmed(run: Run) -> bool:
    """Whether its search was asked to confirm at its end and that is not over."""
    asked = isinstance(run.settings.get("confirm"), dict)
    return asked and (run.confirmed is None or not run.confirmed.finished)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmOptions:
    """What a confirmation was asked for. `top`: the most of members and near-members, None: all;
    `epochs`: None until the recipe is known. Raises ValueError."""

    seeds: Annotated[int, integer(1, 1000)] = 3
    controls: Annotated[int, integer(0, 10**5)] = 8
    top: Annotated[int | None, optional(integer(1, 10**7))] = None
    epochs: Annotated[int | None, optional(integer(1, 10**5))] = None

    def __post_init__(self) -> None:
        check_fields(self, option=True, fix="choose one of these")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmPlan:
    """All that a confirmation needs to run. `work`: its recipe has the epochs of the options."""

    run: Run
    options: ConfirmOptions
    chosen: tuple[Chosen, ...]
    work: Plan


def plan_confirm(
    folder: Path,
    asked: Mapping[str, Any],
    console: Console,
    *,
    dataset: Dataset | None = None,
    train: Any = None,
) -> ConfirmPlan:
    """What confirming a run comes to; options that are not asked for are as before. Raises
    ValueError if the run is not finished, has no finished trial, or had other epochs before."""
    given = {name: value for name, value in asked.items() if value is not None}
    names = [field.name for field in dataclasses.fields(ConfirmOptions)]
    mine = {name: given.pop(name) for name in names if name in given}
    ConfirmOptions(**mine)  # a mistake in typing does not wait for the images
    changes = read_changes(given)
    run = load_run(folder)
    _refuse_unfinished(run)
    before = dict(run.confirmed.options) if run.confirmed is not None else {}
    options = ConfirmOptions(**{**{k: v for k, v in before.items() if k in names}, **mine})
    _refuse_other_epochs(run, options, before.get("epochs"))
    work = plan_resume(folder, changes, console, dataset=dataset, train=train)
    epochs = options.epochs or _full_epochs(work.dataset, work.recipe)
    recipe = dataclasses.replace(work.recipe, epochs=epochs)
    return ConfirmPlan(
        run=run,
        options=dataclasses.replace(options, epochs=epochs),
        chosen=_chosen(run, options, max(run.images or 0, 1), work.settings.seed),
        work=dataclasses.replace(work, recipe=recipe),
    )


def _refuse_unfinished(run: Run) -> None:
    if not run.finished:
        raise ValueError(
            f"A run must be finished to be confirmed, but {str(run.path)!r} is not: go on with it "
            f"by `vit-frontier resume {run.path}`."
        )
    if not run.front:
        raise ValueError(
            f"A run must have finished trials to be confirmed, but {str(run.path)!r} has none: go "
            f"on with it by `vit-frontier resume {run.path} --trials N`."
        )


def _refuse_other_epochs(run: Run, options: ConfirmOptions, before: int | None) -> None:
    if before is not None and options.epochs != before:
        raise ValueError(
            f"`--epochs` (={show(options.epochs)}) must be {before}, as in the trainings of "
            f"{str(run.path / CONFIRM_FILE)!r}: leave it out, or remove that file to begin anew."
        )


def _full_epochs(dataset: Dataset, recipe: Recipe) -> int:
    """Those of the full recipe, `faithful`, or of the search where it had more."""
    full = type(recipe).for_dataset(dataset, proxy="faithful").epochs
    return max(full, recipe.epochs)


def _chosen(run: Run, options: ConfirmOptions, images: int, seed: int) -> tuple[Chosen, ...]:
    """What is to be confirmed, and what was confirmed before and would not be chosen now."""
    chosen = choose(
        run.records,
        budget=run.budget_flops,
        images=images,
        top=options.top,
        controls=options.controls,
        seed=seed,
    )
    if run.confirmed is not None:
        now = {c.trial for c in chosen}
        chosen += [
            Chosen(trial=n.record.trial, role=n.role, weight=n.weight)
            for n in run.confirmed.networks
            if n.trainings and n.record.trial not in now
        ]
    return tuple(chosen)


def run_confirm(
    plan: ConfirmPlan, console: Console, *, is_process: bool = False
) -> tuple[Run, bool]:
    """Trains what is to be confirmed; the run, and whether it was interrupted. Only `confirm.db`,
    the weights beside it and the report are written. Raises StorageError, ClusterLostError."""
    folder = plan.work.folder
    with only_driver(folder):
        say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
        patience = Patience(say=say, then="confirm")
        study = open_study(folder, plan.run.name, None, patience, kept=CONFIRM_FILE)
        study.set_user_attr("options", dataclasses.asdict(plan.options))
        study.set_user_attr("networks", [dataclasses.asdict(c) for c in plan.chosen])
        study.set_user_attr("finished", False)
        jobs = Confirmation(
            study, plan.work.settings, plan.run, plan.chosen, seeds=plan.options.seeds
        )
        interrupted = _work(plan, jobs, patience, console, is_process=is_process)
        study.set_user_attr("ended", None if interrupted else _why_ended(jobs))
        study.set_user_attr("finished", not interrupted)
        with writing(folder, "report"):
            run = load_run(folder)
            write_results(run)
        return run, interrupted


def _work(
    plan: ConfirmPlan, jobs: Confirmation, patience: Patience, console: Console, *, is_process: bool
) -> bool:
    with Display(jobs, console) as display:
        if not jobs.remaining and not jobs.untested():
            display.say(f"Nothing is left to train: {_why_ended(jobs)}; --seeds N asks for more.")
            return False
        taught = lessons(plan.work.teacher, plan.work.recipe, plan.work.dataset, console)
        work = Work(
            folder=plan.work.folder,
            settings=plan.work.settings,
            dataset=plan.work.dataset,
            recipe=plan.work.recipe,
            train=plan.work.train,
            donor=plan.work.donor,
            teacher=taught,
            weights=plan.work.folder / CONFIRM_WEIGHTS,
            is_process=is_process,
        )
        return work_off(work, jobs, display, patience, _in_turn)


def _in_turn() -> InTurn:
    from search.cluster.tune import InTurn

    return InTurn()


def _why_ended(jobs: Confirmation) -> str:
    if jobs.stop_reason is not None:
        return jobs.stop_reason
    if jobs.remaining:
        return "the time limit was reached; the same command goes on"
    if jobs.open_orders():
        return "every network whose order is open has all its seeds"
    return f"every order is known with a probability of {CONFIDENCE:.0%} or more"


def confirm(
    run: str | Path,
    *,
    data: Dataset | None = None,
    train: Any = None,
    show: bool = False,
    **options: Any,
) -> Run:
    """Trains what a search announced again, as `vit-frontier confirm` does; its `confirmed` says
    what came out. `options`: top, seeds, epochs, controls, time_limit, workers, address. `data` and
    `train` are given again where a program gave them to `search`. Raises ValueError, OSError."""
    from rich.console import Console

    console = Console(quiet=not show)
    try:
        return run_confirm(
            plan_confirm(Path(run), options, console, dataset=data, train=train), console
        )[0]
    except SystemExit:
        raise KeyboardInterrupt from None
