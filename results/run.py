"""One run folder read back: its `run.json` and the trials of its study.

Everything derived (frontier, exports, report) starts from `Run`; nothing here writes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.frontier import hypervolume, pareto_front
from results.record import TEST_READINGS, TrialRecord, is_foreign, record_from_trial
from results.study_file import read_study
from results.words import METRIC_NAMES, is_unbalanced
from space.files import refuse_irregular
from space.rules import LIMITS, integer, number, one_of, optional, text

if TYPE_CHECKING:
    import pandas

    from results.confirmed import Confirmed

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Run:
    """A search as its folder tells it. `records` are the trials that were trained, by number;
    `finished` is False while the search runs or after it was interrupted."""

    # `foreign` are numbers of trials that were added to the study by hand. `test_readings`: for
    # which trials the test split was read, each time that it was.
    # `over_budget` and `duplicates` count proposals that were not trained. `ended_short` says why a
    # finished search has fewer trials than asked for. `settings` is all of `run.json`, the same as
    # `description`; what the search was asked for is its key `settings`.

    path: Path
    name: str
    settings: dict[str, Any]
    records: tuple[TrialRecord, ...]
    over_budget: int = 0
    duplicates: int = 0
    finished: bool = False
    stop_reason: str | None = None
    ended_short: str | None = None
    foreign: tuple[int, ...] = ()
    test_readings: tuple[tuple[int, ...], ...] = ()

    @property
    def description(self) -> dict[str, Any]:
        """`run.json` as a plain dict: settings, recipe, space, data, versions, hardware."""
        return self.settings

    @property
    def budget_flops(self) -> int:
        """The most multiply-accumulates a member of the frontier may cost."""
        return int(self.settings["budget_flops"])

    @property
    def reference_point(self) -> tuple[int, float]:
        """(budget, accuracy of guessing): where the hypervolume is measured from."""
        known = self.asked("guessing")
        guess = 1.0 / int(self.settings["data"]["num_classes"]) if known is None else float(known)
        return self.budget_flops, guess

    @property
    def metric(self) -> str:
        """What `accuracy` is in its records: accuracy, balanced_accuracy, top5 or f1."""
        return str(self.asked("metric") or "accuracy")

    @property
    def images(self) -> int | None:
        """The validation images that a standard error is told by; None where run.json tells
        none."""
        data = self.settings["data"]
        known = data.get("effective_validation", data.get("validation"))
        return None if known is None else int(known)

    def asked(self, name: str) -> Any:
        """What the search was asked for by that name; None where run.json does not tell."""
        asked = self.settings.get("settings")
        return asked.get(name) if isinstance(asked, dict) else None

    @property
    def train_images(self) -> int | None:
        """The images of one epoch; None where run.json tells none."""
        known = self.settings["data"].get("train")
        return None if known is None else int(known)

    def teacher_flops(self, *, beside: bool) -> int:
        """FLOPs for one image of the teacher that ran beside the trainings, or once before them; 0
        without one."""
        known = self.settings.get("teacher")
        if not isinstance(known, dict) or known.get("beside") is not beside:
            return 0
        return int(known.get("flops") or 0)

    @property
    def full_epochs(self) -> int | None:
        """The epochs of a training that is not stopped; None where run.json tells none."""
        recipe = self.settings.get("recipe")
        epochs = recipe.get("epochs") if isinstance(recipe, dict) else None
        return epochs if isinstance(epochs, int) else None

    @property
    def largest_class(self) -> float | None:
        """The largest class's share of the validation images, where an accuracy below it says
        nothing; None where classes are about even, another metric weighs them or none is told."""
        classes, share = self.settings["data"]["num_classes"], self.reference_point[1]
        return share if self.metric == "accuracy" and is_unbalanced(share, classes) else None

    @property
    def trials_asked(self) -> int:
        """How many trials the search was to train; as many as it has where run.json tells none."""
        count = self.asked("trials")
        return count if isinstance(count, int) else self.trained

    @property
    def trained(self) -> int:
        """How many trials have an outcome."""
        return len(self.records) - self.count("running")

    @cached_property
    def front(self) -> list[TrialRecord]:
        """`pareto_front` of the records within the budget, cheapest first."""
        return pareto_front(self.records, budget_flops=self.budget_flops)

    @cached_property
    def hypervolume(self) -> float:
        """`hypervolume` of the records, measured from `reference_point`."""
        budget, accuracy = self.reference_point
        return hypervolume(self.records, budget_flops=budget, reference_accuracy=accuracy)

    @cached_property
    def confirmed(self) -> Confirmed | None:
        """What `vit-frontier confirm` found so far; None before. Raises ValueError if its file
        cannot be read."""
        from results.confirmed import read_confirmed

        return read_confirmed(self)

    @property
    def unconfirmed(self) -> set[int]:
        """Members of the frontier that a confirmation does not confirm; none without one."""
        return set() if self.confirmed is None else self.confirmed.unconfirmed(self.front)

    def count(self, state: str) -> int:
        """How many records are in `state`."""
        return sum(record.state == state for record in self.records)

    def to_frame(self) -> pandas.DataFrame:
        """One row a trial, with the columns of trials.csv: accuracies as fractions, `flops` of one
        image, `seconds`, tuples, `architecture` an `Architecture`. Raises ImportError if pandas is
        not installed."""
        from results.table import frame

        return frame(self)


def load_run(path: str | Path) -> Run:
    """The run in folder `path`. About 1 ms a trial. Raises ValueError naming what is missing."""
    folder = Path(path)
    settings = read_settings(folder)
    name = settings["name"]
    trials, study_attrs = read_study(folder, name, settings.get("storage"))
    records = [record_from_trial(trial, study_attrs) for trial in trials]
    proposed = [trial.user_attrs.get("state") for trial in trials]
    return Run(
        path=folder,
        name=name,
        settings=settings,
        records=tuple(record for record in records if record is not None),
        over_budget=proposed.count("over_budget"),
        duplicates=proposed.count("duplicate"),
        finished=bool(study_attrs.get("finished", False)),
        stop_reason=study_attrs.get("stop_reason"),
        ended_short=study_attrs.get("ended_short"),
        test_readings=tuple(tuple(trials) for trials in study_attrs.get(TEST_READINGS, ())),
        foreign=tuple(trial.number for trial in trials if is_foreign(trial)),
    )


def read_settings(folder: Path) -> dict[str, Any]:
    """`run.json` of a run folder. Raises ValueError if it is missing, broken or of another kind."""
    file = folder / "run.json"
    if not folder.is_dir():
        raise ValueError(f"A run is a folder, but {str(folder)!r} is {_what_is_there(folder)}.")
    try:
        refuse_irregular(file)
        settings = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(_no_run_here(folder)) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{str(file)!r} must be readable JSON, but: {str(error).rstrip('.')}. Restore it from "
            "a copy; the trials themselves are in study.db."
        ) from error
    _check_settings(file, settings)
    return dict(settings)


def _check_settings(file: Path, settings: Any) -> None:
    if not isinstance(settings, dict) or settings.get("schema") != SCHEMA:
        got = settings.get("schema") if isinstance(settings, dict) else type(settings).__name__
        raise ValueError(
            f"{str(file)!r} must be a run description with `schema` {SCHEMA}, but has "
            f"{got!r:.200}: it was written by another program or by another version of "
            "vit-frontier."
        )
    for key, rule in _RULES.items():
        table, _, name = key.rpartition(".")
        values = settings.get(table) if table else settings
        value = values.get(name) if isinstance(values, dict) else None
        if not rule.holds(value):
            why = rule.sentence(key, value, fix="restore the file")
            raise ValueError(f"In {str(file)!r} {why}")


# Whatever is computed with. The rest is only shown.
_RULES = {
    "name": text(),
    "storage": optional(text()),
    "data.name": optional(text()),
    "budget_flops": integer(1, 10**21),
    "data.num_classes": integer(1, LIMITS["num_classes"]),
    "data.train": optional(integer(0, 10**12)),
    "data.validation": optional(integer(0, 10**12)),
    "data.effective_validation": optional(integer(0, 10**12)),
    "settings.guessing": optional(number(low=0.0, high=1.0)),
    "settings.cpus_per_trial": optional(number(low=0.0, high=1e6)),
    "settings.gpus_per_trial": optional(number(low=0.0, high=1e6)),
    "recipe.epochs": optional(integer(1, 10**9)),
    "teacher.flops": optional(integer(0, 10**21)),
    "settings.metric": optional(one_of(*METRIC_NAMES)),
    "hardware.memory_bytes": optional(integer(0, 10**18)),
}


def _what_is_there(folder: Path) -> str:
    if folder.exists():
        return "a file: give the folder that holds run.json"
    return "not there: `vit-frontier search` prints the folder it writes, runs/<name>"


def _no_run_here(folder: Path) -> str:
    if (folder / "study.db").exists():
        return (
            f"A run folder must hold run.json, but {str(folder)!r} has only study.db: restore "
            "run.json from a copy. Without one the trials can still be read by Optuna: "
            "optuna.load_study(study_name=None, storage='sqlite:///study.db')."
        )
    runs = sorted(str(child.parent) for child in folder.glob("*/run.json"))
    hint = f"give one of {', '.join(runs[:5])}" if runs else "give the folder that a search wrote"
    return f"A run folder must hold run.json, but {str(folder)!r} has none: {hint}."
