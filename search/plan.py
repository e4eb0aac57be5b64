"""From what was asked to what will run: images, fitted space, settings, recipe, run folder.

The command line and `search.search` both come through here.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.cluster.connect import refuse_ray_client, refuse_shadows
from search.cluster.own_training import found
from search.logs.loggers import require
from search.pretrained import (
    as_donor_saw,
    donor_of,
    fitted_space,
    kept_init,
    refuse_beside_init,
)
from search.recipe import RecipeOptions
from search.settings import SearchSettings
from search.teaching import check_same_teacher, lessons, refuse_beside_teacher
from search.units import read_texts, require_utf8
from space import SearchSpace
from space.rules import did_you_mean
from trainers.metrics import guessing, refuse_top5

if TYPE_CHECKING:
    from rich.console import Console

    from results import Run
    from trainers import Dataset, Donor, Recipe
    from trainers.teacher import Teacher

GIVEN = "given:"  # before the name of images or a training loop that a program handed over


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a search needs to run. `train` is the training loop of one's own, None for ours;
    `donor` the pretrained network that its networks begin as, `teacher` the one they learn from;
    `confirm` how it is confirmed at its end, None: not."""

    folder: Path
    settings: SearchSettings
    dataset: Dataset
    recipe: Recipe
    train: Callable[..., Any] | str | None = None
    donor: Donor | None = None
    teacher: Teacher | None = None
    confirm: Mapping[str, int] | None = None


def plan_search(
    asked: Mapping[str, Any],
    console: Console,
    *,
    dataset: Dataset | None = None,
    train: Callable[..., Any] | str | None = None,
    claim: bool = True,
) -> Plan:
    """What `asked`, options by name as the command line spells their values, comes to.

    Mistakes in typing are told before images are read. `claim`: take a folder of its own where
    `out` is not given. Raises ValueError.
    """
    from search.commands.teachers import read_teacher
    from search.study.run_folder import new_run_folder, refuse_existing_run

    wanted, asked = RecipeOptions.taken_from(asked)
    options = read_options(asked)
    SearchSettings.check_typed(options)
    require(options["log"].split(",") if options["log"] else ())
    refuse_ray_client(options["address"])
    named = asked.get("space")
    refuse_beside_init(options["init"], {"space": named, "train": train})
    refuse_beside_teacher(options["teacher"], train)
    space = named if isinstance(named, SearchSpace) else SearchSpace.load(named or "digits_staged")
    if isinstance(named, str) and named.endswith(".toml") and len(space.img_size) == 1:
        options["img_size"] = options["img_size"] or space.img_size[0]
    out = asked.get("out")
    folder = Path(out) if out else new_run_folder(options["data"], options["budget"])
    refuse_existing_run(folder)
    refuse_shadows()
    if train is not None:
        found(train)  # before any trial fails for it
    if options["storage"] is not None:
        options["storage"] = _new_storage(options["storage"], folder)
    donor = donor_of(options["init"])
    if donor is not None:
        options["img_size"] = options["img_size"] or donor.architecture.img_size
    dataset = as_donor_saw(dataset or _load(options, console), donor)
    if named is None:
        space = SearchSpace.load(default_space(dataset.img_size))
    refuse_top5(options["metric"], dataset.num_classes)
    labels = dataset.val_labels
    options["guessing"] = guessing(options["metric"], labels, dataset.num_classes)
    teacher = read_teacher(options["teacher"], dataset)
    settings = SearchSettings(
        **{**options, "out": str(folder), "train": _kept_name(train)},
        space=fitted_space(space, dataset, donor),
    )
    if not out and claim:
        folder, settings = _claimed(settings)
    recipe = wanted.recipe_for(
        dataset, epochs=settings.epochs, proxy=settings.proxy, from_donor=donor is not None
    )
    return Plan(
        folder=folder, settings=settings, dataset=dataset, recipe=recipe, train=train, donor=donor,
        teacher=teacher,
    )  # fmt: skip


def _new_storage(url: str, folder: Path) -> str:
    """The URL of the server, if it holds no study of the folder's name. Raises ValueError."""
    from search.study.storage import absolute_url, refuse_existing_study

    url = absolute_url(url)
    refuse_existing_study(url, folder.resolve().name)
    return url


def default_space(img_size: int) -> str:
    """The built-in space that fits images of that size."""
    if img_size <= 16:
        return "digits_staged"
    return "photos" if img_size <= 96 else "hvt_deit_tiny"


def _claimed(settings: SearchSettings) -> tuple[Path, SearchSettings]:
    """A run folder of a name of its own: other searches may have been started meanwhile."""
    from search.study.run_folder import claim_run_folder
    from search.study.storage import refuse_existing_study

    folder = claim_run_folder(settings.data, settings.budget)
    if settings.storage is not None:
        refuse_existing_study(settings.storage, folder.name)
    return folder, dataclasses.replace(settings, out=str(folder))


def plan_resume(
    run: Path,
    changes: Mapping[str, Any],
    console: Console,
    *,
    dataset: Dataset | None = None,
    train: Callable[..., Any] | str | None = None,
) -> Plan:
    """What going on with a run comes to. Raises ValueError if its data or its training loop is not
    what it began with."""
    from search.commands.teachers import read_teacher
    from search.study.run_folder import check_same_data, check_same_donor, read_search
    from trainers import Recipe

    refuse_shadows()
    description = read_search(run)
    values = {**description["settings"], "time_limit": None, **changes, "out": str(run)}
    settings = SearchSettings.from_dict(values)
    require(settings.loggers)
    refuse_ray_client(settings.address)
    if train is None and settings.train is not None:
        if settings.train.startswith(GIVEN):
            raise ValueError(
                f"The run {str(run)!r} was trained by {settings.train.removeprefix(GIVEN)}, which "
                "only its program has: go on by `search.resume(run, train=...)`."
            )
        train = settings.train
    if train is not None:
        found(train)  # before any trial fails for it
    if dataset is None and settings.data.startswith(GIVEN):
        raise ValueError(
            f"The images of the run {str(run)!r} ({settings.data.removeprefix(GIVEN)}) were given "
            "by a program: go on by `search.resume(run, data=...)`."
        )
    refuse_beside_init(settings.init, {"train": train})
    refuse_beside_teacher(settings.teacher, train)
    donor = donor_of(settings.init)
    if donor is not None:
        check_same_donor(run, description, donor)
    dataset = as_donor_saw(dataset or _load(settings.to_dict(), console), donor)
    check_same_data(run, description["data"], dataset)
    teacher = read_teacher(settings.teacher, dataset)
    if teacher is not None:
        check_same_teacher(run, description, teacher)
    recipe = Recipe.from_dict(description["recipe"])
    return Plan(
        folder=run, settings=settings, dataset=dataset, recipe=recipe, train=train, donor=donor,
        teacher=teacher,
        confirm=asked if isinstance(asked := description.get("confirm"), dict) else None,
    )  # fmt: skip


def finished_already(run: Path, changes: Mapping[str, Any]) -> Run | None:
    """The run, if it is finished and has as many trials as asked for. Raises ValueError if it has
    more, finished or not: nothing of it is changed."""
    from results import load_run
    from results.study_file import NoStudyError

    try:
        loaded = load_run(run)
    except NoStudyError:  # it did not begin; `open_study` refuses where there are results
        return None
    asked = changes.get("trials") or loaded.trials_asked
    if changes.get("trials") and asked < loaded.trained:
        raise ValueError(
            f"`--trials` (={asked}) must be more than the {loaded.trained} that the run "
            f"{str(run)!r} has, all in all: ask for more, or leave the run as it is."
        )
    untested = any(member.test_accuracy is None for member in loaded.front)
    if not loaded.finished or untested or loaded.trained < asked:
        return None
    return loaded


def carry_out(
    plan: Plan, console: Console, *, command: list[str] | None, is_process: bool = False
) -> tuple[Run, bool]:
    """Runs the search; the run, and whether it was interrupted. `command`: of a new run, as it is
    kept in run.json; None goes on with one that is there. `is_process`: see `run_search`. Raises
    ValueError."""
    from search.driver import run_search
    from search.study.run_folder import discard_unbegun, new_run

    folder = plan.folder
    taught = lessons(plan.teacher, plan.recipe, plan.dataset, console)
    if command is not None:
        folder = new_run(
            plan.settings, plan.dataset, plan.recipe, command,
            donor=plan.donor, teacher=plan.teacher, confirm=plan.confirm,
        )  # fmt: skip
    try:
        return run_search(
            folder, plan.settings, plan.dataset, plan.recipe, console=console, train=plan.train,
            donor=plan.donor, teacher=taught, is_process=is_process,
        )  # fmt: skip
    except ValueError:
        if command is not None:
            discard_unbegun(folder)
        raise


def read_options(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `SearchSettings` but space and folder, from values as people write them.
    Raises ValueError."""
    known = {f.name: f.default for f in dataclasses.fields(SearchSettings) if f.name != "space"}
    unknown = next((name for name in asked if name not in known and name != "space"), None)
    if unknown is not None:
        raise ValueError(f"Unknown option {unknown!r}{did_you_mean(unknown, known)}")
    options = {**known, **{k: v for k, v in asked.items() if k in known and k != "out"}}
    from search.commands.teachers import kept_name

    for option in ("data", "data_root", "init", "teacher"):
        require_utf8("--" + option.replace("_", "-"), options[option])
    require_utf8("--out", asked.get("out"))
    data, root = options["data"], options["data_root"]
    if not data:
        raise ValueError("`--data` must be digits, a folder or a name, but got an empty text.")
    if data != "digits" and Path(data).is_dir():
        options["data"] = os.path.abspath(data)  # a run may be resumed from elsewhere
    options["init"] = kept_init(options["init"])
    options["teacher"] = kept_name(options["teacher"])
    options["data_root"] = None if root is None else os.path.abspath(root)
    return options | read_texts(options)


def read_changes(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a resume from values as people write them; those that are None are as before."""
    known = ("trials", "time_limit", "workers", "cpus_per_trial", "gpus_per_trial", "address")
    unknown = next((name for name in asked if name not in known), None)
    if unknown is not None:
        raise ValueError(f"Unknown option {unknown!r}: choose from {', '.join(known)}.")
    given = {name: value for name, value in asked.items() if value is not None}
    return given | read_texts(given)


def _load(options: Mapping[str, Any], console: Console) -> Dataset:
    from search.terminal.reading import load_with_progress

    return load_with_progress(options, console)


def _kept_name(train: Callable[..., Any] | str | None) -> str | None:
    """What run.json says of a training loop: where a resume finds it, or that a program gave it."""
    if train is None or isinstance(train, str):
        return train
    module = getattr(train, "__module__", None)
    name = getattr(train, "__qualname__", type(train).__name__)  # a partial has none
    if module != "__main__" and getattr(sys.modules.get(module or ""), name, None) is train:
        return f"{module}:{name}"
    return f"{GIVEN}{name}"
