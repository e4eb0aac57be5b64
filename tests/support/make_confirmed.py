"""Confirms a run folder of `make_run` with made-up trainings, as the cluster would, without Ray."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from results import Run, load_run
from results.study_file import CONFIRM_FILE
from search.confirm import Confirmation
from search.decide.confirming import choose
from search.settings import SearchSettings
from search.study.storage import open_study
from space import SearchSpace


def epoch(accuracy: float, number: int = 1) -> dict[str, Any]:
    return {
        "epoch": number, "train_loss": 1.0, "val_loss": 1.0, "accuracy": accuracy,
        "seconds": 0.1, "images_per_second": 10.0,
    }  # fmt: skip


def confirmation(
    folder: Path, *, seeds: int = 3, controls: int = 8, **changes: Any
) -> Confirmation:
    """The source of jobs of the run in `folder`, with what its confirm.db holds."""
    run = load_run(folder)
    chosen = choose(
        run.records, budget=run.budget_flops, images=359, top=None, controls=controls, seed=0
    )
    study = open_study(folder, run.name, None, kept=CONFIRM_FILE)
    study.set_user_attr("options", {"seeds": seeds, "controls": controls, "epochs": 1, "top": None})
    networks = [{"trial": c.trial, "role": c.role, "weight": c.weight} for c in chosen]
    study.set_user_attr("networks", networks)
    settings = SearchSettings(budget=run.budget_flops, space=SearchSpace.load("digits"), **changes)
    return Confirmation(study, settings, run, chosen, seeds=seeds)


def work_off(jobs: Confirmation, *, noise: float = 0.005, most: int | None = None) -> list[int]:
    """Plays the trainings, of the search's accuracy and noise; the trials trained, in order."""
    done: list[int] = []
    while (most is None or len(done) < most) and (live := jobs.ask()) is not None:
        trial = live.trial.params["trial"]
        rng = random.Random(live.seed)
        accuracy = (jobs._records[trial].accuracy or 0.0) + rng.gauss(0, noise)
        jobs.report(live.trial.number, epoch(min(1.0, accuracy)))
        jobs.complete(live.trial.number)
        done.append(trial)
    return done


def make_confirmed(folder: Path, *, finished: bool = True, **options: Any) -> Run:
    """The run, confirmed to the end."""
    jobs = confirmation(folder, **options)
    work_off(jobs)
    jobs.study.set_user_attr("finished", finished)
    jobs.study.set_user_attr("ended", "every order is known" if finished else None)
    for record in jobs.tested():
        jobs.study.set_user_attr(f"test_accuracy:{record.trial}", 0.9)
    return load_run(folder)
