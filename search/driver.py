"""One search from settings to report: run folder, study, Ray, frontier."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from results import Run, load_run, write_results
from results.words import counted
from search.decide.baselines import baselines
from search.settings import SearchSettings
from search.study.errors import writing
from search.study.ledger import Ledger
from search.study.mirror import together
from search.study.patience import Patience
from search.study.run_folder import keep_trials, only_driver, read_search
from search.study.storage import open_study
from search.terminal.display import Display
from search.working import Work, work_off

if TYPE_CHECKING:
    from search.cluster.tune import InTurn
    from search.decide.early_stopping import FreezeThaw
    from search.decide.problem import Network
    from trainers import Dataset, Donor, Recipe
    from trainers.lessons import Logits
    from trainers.teacher import Teacher

BASELINE_SHARE = 4  # at most one trial in four is a baseline


def forget_failures(folder: Path) -> int:
    """Has the failed trials of a run asked again; how many there were."""
    description = read_search(folder)
    with only_driver(folder):
        study = open_study(folder, description["name"], description.get("storage"))
        settings = SearchSettings.from_dict({**description["settings"], "out": str(folder)})
        study.set_user_attr("stop_reason", None)
        return Ledger(study, settings).forget_failures()


def run_search(
    folder: Path,
    settings: SearchSettings,
    dataset: Dataset,
    recipe: Recipe,
    *,
    console: Console,
    train: Any = None,
    donor: Donor | None = None,
    teacher: Teacher | Logits | None = None,
    is_process: bool = False,
) -> tuple[Run, bool]:
    """Searches until the asked number of trials is finished; the run, and whether it was
    interrupted. The run folder must exist; a study there is gone on with. `is_process`: a loss of
    Ray ends the process with a sentence, else it raises ClusterLostError."""
    with only_driver(folder) as unlocked:
        name = keep_trials(folder, settings.trials)
        patience = Patience(
            say=partial(console.print, markup=False, highlight=False, soft_wrap=True)
        )
        study = open_study(folder, name, settings.storage, patience)
        study.set_user_attr("finished", False)
        for reason in ("stop_reason", "ended_short"):
            study.set_user_attr(reason, None)
        ledger = Ledger(study, settings)
        if settings.baselines and not study.get_trials(deepcopy=False):
            _enqueue_baselines(ledger)
        with Display(ledger, console, epochs=recipe.epochs) as display:
            for remark in filter(None, [unlocked, *ledger.left_out]):
                display.say(remark)
            if not ledger.remaining:
                done = f"{len(ledger.finished)} of {counted(settings.trials, 'trial')}"
                display.say(f"Nothing is left to train, {done} are done: ask for more by --trials.")
            work = Work(
                folder=folder, settings=settings, dataset=dataset, recipe=recipe, train=train,
                donor=donor, teacher=teacher, weights=folder / "weights", is_process=is_process,
            )  # fmt: skip
            interrupted = work_off(work, ledger, display, patience, partial(_order, ledger, recipe))
        study.set_user_attr("stop_reason", ledger.stop_reason)
        if not interrupted and len(ledger.finished) < settings.trials and not ledger.stop_reason:
            study.set_user_attr("ended_short", _why_short(ledger))
        with writing(folder):
            run = replace(load_run(folder), finished=not interrupted)
            write_results(run)
        study.set_user_attr("finished", run.finished)  # last: else a resume writes them
        return run, interrupted


def _enqueue_baselines(ledger: Ledger) -> None:
    """Has the baselines asked before the sampler is: all or none."""
    settings = ledger.settings
    ladder = baselines(
        settings.space,
        settings.budget,
        most=settings.trials // BASELINE_SHARE,
        max_params=settings.max_params,
    )
    with together(ledger.study):
        for label, network in ladder.items():
            ledger.enqueue(network, label)


def _why_short(ledger: Ledger) -> str:
    """Why fewer trials than asked for were trained though nothing went wrong."""
    trained = f"{len(ledger.finished)} of {counted(ledger.settings.trials, 'trial')}"
    if ledger.exhausted:
        return f"{trained}, since the space has no other network that fits"
    return f"{trained} when the time limit was reached; a resume goes on"


def _order(ledger: Ledger, recipe: Recipe) -> InTurn:
    """In which order Tune starts trials, and which it stops early."""
    from search.cluster.tune import FrontierHalving, InTurn

    if not ledger.settings.early_stopping:
        return InTurn()
    return FrontierHalving(early_stopping_rule(ledger, recipe))


def early_stopping_rule(ledger: Ledger, recipe: Recipe) -> FreezeThaw[Network]:
    """The rule of a search, which knows what the study holds."""
    from search.decide.early_stopping import FreezeThaw

    rule = FreezeThaw(
        ledger.problem,
        ledger.network,
        reference_accuracy=ledger.settings.reference_accuracy,
        seed=ledger.settings.seed,
        max_epochs=recipe.epochs,
        warmup_epochs=recipe.warmup_epochs,
    )
    rule.take_in(ledger.curves())
    return rule
