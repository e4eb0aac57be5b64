"""A trained network as a folder that timm loads with its weights and preprocessing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results import words
from results.confirmed import CONFIRM_WEIGHTS
from results.model_card import CARD, model_card
from results.record import TrialRecord, finite
from results.replace import replace_file
from results.run import Run
from results.standalone import FILE, own_kinds, standalone
from results.write import preprocessing

CLASS_MAP = "class_map.txt"  # a name a line, in the order of the network's outputs: timm's form

if TYPE_CHECKING:
    from space import Architecture


def write_timm_folder(run: Run, trial: int, folder: Path) -> list[Path]:
    """Writes config.json, model.safetensors, class_map.txt, a model card and code that loads them
    with torch and timm alone into `folder`; the paths. Takes seconds, mostly torch's import. Raises
    ValueError where the trial cannot be exported, OSError where it cannot be written."""
    # Of a member of the frontier or a baseline, those of its proxy training; of another network
    # that was confirmed, those of its first training by the confirmation.
    # For `timm.create_model("local-dir:FOLDER", pretrained=True)` after `import space.model`. It
    # cannot be exported if the trial is neither of these, its weights are gone or broken,
    # run.json does not tell the mean and std of the images, or `folder` is another program's.
    file = run.path / "weights" / f"{trial}.safetensors"
    members = {r.trial for r in run.front}
    kept = (r for r in run.records if r.trial in members or (r.baseline and file.is_file()))
    record = next((r for r in kept if r.trial == trial), None)
    if record is None and (training := _confirmed_training(run, trial)) is not None:
        file = run.path / CONFIRM_WEIGHTS / f"{training.trial}.safetensors"
        record = replace(training, trial=trial)
    if record is None:
        numbers = ", ".join(str(r.trial) for r in run.front)
        fix = f"choose one of {numbers}" if numbers else "there is none yet"
        raise ValueError(
            f"`TRIAL` must be a member of the frontier or a baseline, which alone keep their "
            f"weights, but got {trial}: {fix}."
        )
    weights, how = _weights(file, record), preprocessing(run)
    if how is None:
        raise ValueError(
            f"In {str(run.path / 'run.json')!r} `data.mean` and `data.std` must be lists of a "
            "fraction for each channel: write in those of the training images."
        )
    how |= {"label_names": run.settings["data"].get("class_names")}
    return write_model(folder, record.architecture, weights, how=how, told=_told(run, record))


def write_model(
    folder: Path,
    architecture: Architecture,
    weights: bytes,
    *,
    how: dict[str, Any],
    told: dict[str, Any],
) -> list[Path]:
    """Writes config.json, in the form that timm writes to the Hugging Face hub, model.safetensors
    and what goes with them; the paths. Raises ValueError if the folder is another program's,
    OSError."""
    # `how`: mean, std, interpolation, ... of the preprocessing; `told`: what is known of the model.
    from space.model import timm_config

    _refuse_foreign(folder / "config.json")
    config: dict[str, Any] = {
        "architecture": "vit_frontier",
        "num_classes": architecture.num_classes,
        "num_features": architecture.embed_dim,
        "model_args": {"architecture": architecture.to_dict()},
        "pretrained_cfg": {**timm_config(architecture), **how},
        "vit_frontier": told,
    }
    text = json.dumps(config, indent=2, allow_nan=False, ensure_ascii=False)
    folder.mkdir(parents=True, exist_ok=True)
    written = [
        replace_file(folder / "model.safetensors", weights),
        replace_file(folder / "config.json", text + "\n"),
    ]
    card = model_card(config, name=folder.resolve().name)
    written.append(replace_file(folder / CARD, card))
    if not own_kinds(config["model_args"]["architecture"]):  # whose code is not ours to copy
        written.append(replace_file(folder / FILE, standalone()))
    if names := _class_map(how.get("label_names")):
        written.append(replace_file(folder / CLASS_MAP, "".join(f"{name}\n" for name in names)))
    return written


def class_order_text(run: Run, folder: Path) -> str:
    """A line on the classes where timm's own reader of folders would number them otherwise."""
    names = _class_map(run.settings["data"].get("class_names"))
    if names == sorted(names, key=natural_key):
        return ""
    return (
        f"Its classes are numbered as in {CLASS_MAP}, not as timm's reader of folders does: give "
        f"that by class_map={str(folder / CLASS_MAP)!r}, or --class-map.\n"
    )


def natural_key(name: str) -> list[int | str]:
    """What timm sorts class folders by: numbers as numbers, and no case."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name.lower())]


def _class_map(names: Any) -> list[str]:
    """The names of the classes in order; none where they are not known, or cannot be lines of
    timm's class map."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return []
    return names if all(name == name.strip() and name.isprintable() for name in names) else []


def _confirmed_training(run: Run, trial: int) -> TrialRecord | None:
    """The first training by a confirmation that kept its weights."""
    network = None if run.confirmed is None else run.confirmed.by_trial.get(trial)
    for training in network.trainings if network is not None else ():
        if (run.path / CONFIRM_WEIGHTS / f"{training.trial}.safetensors").is_file():
            return training
    return None


def _donor(run: Run, record: TrialRecord) -> dict[str, Any]:
    """The pretrained network that the trial began from, and which of its blocks stayed."""
    blocks = record.architecture.donor_blocks
    if blocks is None:
        return {}
    name = words.donor(run.settings)
    return {"init": name, "init_license": _license(name), "donor_blocks": blocks}


def _license(name: str | None) -> str | None:
    """What timm knows of the license of a pretrained network; None where that is nothing."""
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name) if name else None
    return getattr(config, "license", None)


def _refuse_foreign(config: Path) -> None:
    """Raises ValueError if that is a file of another program's."""
    if config.exists() and '"vit_frontier"' not in config.read_text("utf-8", "replace"):
        raise ValueError(
            f"`--out` (={str(config.parent)!r}) must be new or an earlier export, but holds a "
            "config.json of another program: give another folder."
        )


def _weights(file: Path, record: TrialRecord) -> bytes:
    """The bytes of the weights file, known to fit the network."""
    from safetensors.torch import load

    from space import build_model

    try:
        weights = file.read_bytes()
        build_model(record.architecture).load_state_dict(load(weights))
    except Exception as error:  # safetensors and torch raise several kinds on a broken file
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise ValueError(
            f"{str(file)!r} must hold the weights of trial {record.trial}, but: {reason}. Restore "
            "the file, or choose another member."
        ) from None
    return weights


def _told(run: Run, record: TrialRecord) -> dict[str, Any]:
    data = run.settings["data"]
    return {
        "run": run.name,
        "dataset": data.get("name"),
        "images": {split: data.get(split) for split in ("train", "validation", "test")},
        "trial": record.trial,
        "flops": record.flops,
        "params": record.params,
        "accuracy": record.accuracy,
        **({} if run.metric == "accuracy" else {"metric": run.metric, "top1": finite(record.top1)}),
        "test_accuracy": finite(record.test_accuracy),
        "epochs": record.epochs,
        "seed": record.seed,
        **_confirmed(run, record.trial),
        **_donor(run, record),
    }


def _confirmed(run: Run, trial: int) -> dict[str, Any]:
    """What other seeds reached; nothing without a confirmation."""
    network = None if run.confirmed is None else run.confirmed.by_trial.get(trial)
    if network is None or network.mean is None:
        return {}
    values = {
        "mean": network.mean,
        "error": network.error,
        "trainings": len(network.trainings),
        "probability": network.probability,
    }
    return {"confirmed": values}
