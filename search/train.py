"""A full training from what was asked to the folder it leaves: the plan, the loop over epochs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.words import counted, format_count
from search.cluster.connect import refuse_ray_client, refuse_shadows
from search.study.events import events_of
from search.study.run_folder import check_same_data, only_driver
from search.study.train_folder import (
    describe,
    is_training,
    keep_epoch,
    read_checkpoint,
    read_description,
    refuse_another,
    write_description,
)
from search.terminal.train_progress import TrainProgress, say
from search.units import require_utf8
from space import Architecture, count_flops, count_params
from space.rules import integer, number, one_of, optional

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor

    from trainers import Dataset
    from trainers.full_recipe import FullRecipe
    from trainers.teacher import Teacher

_RULES = {
    "img_size": optional(integer(1, 4096)),
    "train_samples": optional(integer(1, 10**12)),
    "val_samples": optional(integer(1, 10**12)),
    "seed": integer(0, 2**32 - 1),
    "workers": integer(1, 10**4),
    "epochs": optional(integer(1, 10**5)),
    "batch_size": optional(integer(2, 10**6)),
    "lr": optional(number(above=0.0, below=10.0)),
    "diversity": optional(number(low=0.0, below=1e9)),
}
_OF_THE_DATA = ("data", "data_root", "img_size", "train_samples", "val_samples")
Epochs = Iterator[tuple[dict[str, Any], Mapping[str, "Tensor"]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPlan:
    """All that a full training needs to run. `description` is that of its train.json."""

    folder: Path
    architecture: Architecture
    recipe: FullRecipe
    dataset: Dataset
    description: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """data, data_root, img_size, train_samples, val_samples, data_seed, seed, recipe, workers,
        teacher, address."""
        return dict(self.description["settings"])


def plan_training(
    architecture: Architecture,
    asked: Mapping[str, Any],
    console: Console,
    *,
    name: str,
    fits_images: bool,
    command: list[str],
) -> TrainPlan:
    """What was asked of a network of that name comes to; a folder that holds the same training is
    gone on with. `fits_images`: it takes the channels, classes and, if asked, size of the images.
    Raises ValueError."""
    for option, rule in _RULES.items():
        rule.check("--" + option.replace("_", "-"), asked[option])
    for option in ("data", "data_root", "out"):
        require_utf8("--" + option.replace("_", "-"), asked[option])
    folder = Path(asked["out"]) if asked["out"] else Path("runs") / f"train-{_as_name(name)}"
    size = asked["img_size"] or architecture.img_size
    if fits_images:
        architecture = architecture.replace(img_size=size)
    recipe_name, recipe = _recipe(architecture, asked)
    settings = {key: asked[key] for key in (*_OF_THE_DATA, "data_seed", "seed", "workers")}
    settings |= {"img_size": size, "recipe": recipe_name, "network": name}
    settings |= {"teacher": asked["teacher"], "address": asked["address"]}
    for option in ("data", "data_root"):
        if settings[option] not in (None, "digits") and Path(settings[option]).is_dir():
            settings[option] = os.path.abspath(settings[option])
    if (folder / "run.json").exists():
        raise ValueError(f"`--out` (={str(folder)!r}) must hold no search, but has a run.json.")
    dataset = _load(settings, console)
    if fits_images:
        architecture = architecture.replace(
            in_chans=dataset.in_chans, num_classes=dataset.num_classes
        )
    description = describe(architecture, settings, recipe, dataset, command=command)
    if is_training(folder):
        before = read_description(folder)
        refuse_another(folder, before, description)
        description = before
    return _checked(
        TrainPlan(
            folder=folder, architecture=architecture, recipe=recipe, dataset=dataset,
            description=description,
        )
    )  # fmt: skip


def plan_going_on(folder: Path, changes: Mapping[str, Any], console: Console) -> TrainPlan:
    """What going on with the training of a folder comes to; `changes`: workers and address, None as
    before. Raises ValueError."""
    from trainers.full_recipe import FullRecipe

    description = read_description(folder)
    given = {name: value for name, value in changes.items() if value is not None}
    settings = {**description["settings"], **given}
    description["settings"] = settings
    try:
        dataset = _load(settings, console)
        plan = TrainPlan(
            folder=folder,
            architecture=Architecture.from_dict(description["architecture"]),
            recipe=FullRecipe.from_dict(description["recipe"]),
            dataset=dataset,
            description=description,
        )
    except KeyError as error:
        raise ValueError(f"In {str(folder / 'train.json')!r} `settings` needs {error}.") from None
    check_same_data(folder, description["data"], dataset)
    return _checked(plan)


def _checked(plan: TrainPlan) -> TrainPlan:
    from trainers.images.dataset import check_fits

    check_fits(plan.architecture, plan.dataset)
    if plan.settings["workers"] > 1:
        from search.cluster.train_workers import refuse_unshared

        refuse_ray_client(plan.settings["address"])
        refuse_shadows()
        refuse_unshared(plan.architecture, plan.recipe, plan.dataset, plan.settings["workers"])
    return plan


def _recipe(architecture: Architecture, asked: Mapping[str, Any]) -> tuple[str, FullRecipe]:
    from trainers.full_recipe import RECIPES, recipe_for

    name = asked["recipe"] or recipe_for(architecture)
    one_of(*RECIPES).check("--recipe", name)
    recipe = RECIPES[name].changed(
        epochs=asked["epochs"],
        batch_size=asked["batch_size"],
        peak=asked["lr"],
        diversity=asked["diversity"],
    )
    return name, recipe


def _as_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", Path(text).name or text).strip("-.")[:60] or "network"


def _load(settings: Mapping[str, Any], console: Console) -> Dataset:
    from search.terminal.reading import load_with_progress

    return load_with_progress({**settings, "seed": settings["data_seed"]}, console)


def introduce(plan: TrainPlan, console: Console) -> None:
    """What will be trained, on what, how."""
    a, data, recipe = plan.architecture, plan.dataset, plan.recipe
    say(
        console,
        f"Training {plan.settings['network']}: {format_count(count_flops(a))} FLOPs, "
        f"{format_count(count_params(a))} parameters.\n"
        f"Data: {data.name}, {data.img_size} pixels, {data.num_classes} classes, "
        f"{len(data.train_labels)} images to train on and {len(data.val_labels)} to validate on, "
        f"{len(data.test_labels)} for the end.\n"
        f"Recipe {plan.settings['recipe']}: {counted(recipe.epochs, 'epoch')}, batches of "
        f"{recipe.batch_size}. Folder: {plan.folder}",
    )


def carry_out(
    plan: TrainPlan, console: Console, *, teacher: Teacher | None = None
) -> dict[str, Any]:
    """Trains to the end, from the last epoch that was kept; the result that train.json then has.
    Raises ValueError, NonFiniteLossError, StorageError."""
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"`--out` (={str(plan.folder)!r}) must be a folder that can be written: "
            f"{error.strerror}."
        ) from None
    with only_driver(plan.folder, "training"):
        write_description(plan.folder, plan.description)
        if plan.description.get("result"):
            return dict(plan.description["result"])
        state, log = read_checkpoint(plan.folder)
        if log:
            say(console, f"Going on after epoch {len(log)} of {plan.recipe.epochs}.")
        progress = TrainProgress(console, plan.recipe.epochs, done=len(log))
        return _follow(plan, _epochs(plan, state, progress, teacher), log, progress)


def _epochs(
    plan: TrainPlan,
    state: Mapping[str, Tensor] | None,
    progress: TrainProgress,
    teacher: Teacher | None,
) -> Epochs:
    """The epochs of a training, each with the state after it, then what the test split says."""
    if plan.settings["workers"] > 1:
        from search.cluster.train_workers import epochs_of_workers

        return epochs_of_workers(
            plan.architecture, plan.dataset, plan.recipe, workers=plan.settings["workers"],
            address=plan.settings["address"], seed=plan.settings["seed"], state=state,
            teacher=teacher, say=progress.say,
        )  # fmt: skip
    from trainers.train import run_training

    return run_training(
        plan.architecture, plan.dataset, plan.recipe, seed=plan.settings["seed"], state=state,
        teacher=teacher, on_step=progress.step,
    )  # fmt: skip


def _follow(
    plan: TrainPlan, epochs: Epochs, log: list[dict[str, Any]], progress: TrainProgress
) -> dict[str, Any]:
    with events_of(plan.folder, after=len(log)) as write_events:
        for report, state in epochs:
            if "epoch" in report:
                log.append(report)
                keep_epoch(plan.folder, log, state)
                write_events(report)
                progress.epoch(report)
            else:
                return _conclude(plan, log, report, state)
    raise RuntimeError("the training ended before its test split was read")


def _conclude(
    plan: TrainPlan, log: list[dict[str, Any]], test: dict[str, Any], state: Mapping[str, Tensor]
) -> dict[str, Any]:
    """Writes the final weights, of the average where that validates better, and the result."""
    from safetensors.torch import save

    from results.export import write_model

    last = log[-1]
    accuracy, average = float(last["accuracy"]), last["ema_accuracy"]
    kind = "ema" if average not in (None, "") and float(average) > accuracy else "model"
    weights = {
        name.removeprefix(f"{kind}."): value.clone()
        for name, value in state.items()
        if name.startswith(f"{kind}.")
    }
    data = plan.dataset
    result = {
        "weights": kind,
        "accuracy": float(average) if kind == "ema" else accuracy,
        **test,
        "epochs": plan.recipe.epochs,
        "seconds": sum(float(row["seconds"]) for row in log),
    }
    how = {
        "mean": list(data.mean), "std": list(data.std), "interpolation": "bicubic",
        "crop_pct": 1.0, "crop_mode": "center", "label_names": list(data.class_names),
    }  # fmt: skip
    told = {
        "network": plan.settings["network"], "dataset": data.name,
        "recipe": plan.settings["recipe"], "flops": count_flops(plan.architecture),
        "params": count_params(plan.architecture), "seed": plan.settings["seed"],
        "images": {"train": len(data.train_labels), "validation": len(data.val_labels),
                   "test": len(data.test_labels)}, **result,
    }  # fmt: skip
    write_model(plan.folder / "model", plan.architecture, save(weights), how=how, told=told)
    write_description(plan.folder, {**plan.description, "result": result})
    return result
