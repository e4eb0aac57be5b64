"""A trained network as a folder that timm loads with its weights and preprocessing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.record import TrialRecord, finite
from results.replace import replace_file
from results.run import Run
from results.write import preprocessing

if TYPE_CHECKING:
    from space import Architecture


def write_timm_folder(run: Run, trial: int, folder: Path) -> list[Path]:
    """Writes config.json and model.safetensors of that trial's proxy training into `folder`; the
    paths. Takes seconds, mostly torch's import. Raises ValueError where it cannot be exported,
    OSError where it cannot be written."""
    # For `timm.create_model("local-dir:FOLDER", pretrained=True)` after `import space.model`. It
    # cannot be exported if the trial is no member of the frontier, its weights are gone or broken,
    # run.json does not tell the mean and std of the images, or `folder` is another program's.
    record = next((r for r in run.front if r.trial == trial), None)
    if record is None:
        members = ", ".join(str(r.trial) for r in run.front)
        fix = f"choose one of {members}" if members else "there is none yet"
        raise ValueError(
            f"`TRIAL` must be a member of the frontier, which alone keep their weights, but got "
            f"{trial}: {fix}."
        )
    weights, how = _weights(run, record), preprocessing(run)
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
    """Writes config.json, in the form that timm writes to the Hugging Face hub, and
    model.safetensors; the paths. Raises ValueError if the folder is another program's, OSError."""
    # `how`: mean, std, interpolation, ... of the preprocessing; `told`: what is known of the model.
    from space.model import timm_config

    _refuse_foreign(folder / "config.json")
    config = {
        "architecture": "vit_frontier",
        "num_classes": architecture.num_classes,
        "num_features": architecture.embed_dim,
        "model_args": {"architecture": architecture.to_dict()},
        "pretrained_cfg": {**timm_config(architecture), **how},
        "vit_frontier": told,
    }
    text = json.dumps(config, indent=2, allow_nan=False, ensure_ascii=False)
    folder.mkdir(parents=True, exist_ok=True)
    return [
        replace_file(folder / "model.safetensors", weights),
        replace_file(folder / "config.json", text + "\n"),
    ]


def _refuse_foreign(config: Path) -> None:
    """Raises ValueError if that is a file of another program's."""
    if config.exists() and '"vit_frontier"' not in config.read_text("utf-8", "replace"):
        raise ValueError(
            f"`--out` (={str(config.parent)!r}) must be new or an earlier export, but holds a "
            "config.json of another program: give another folder."
        )


def _weights(run: Run, record: TrialRecord) -> bytes:
    """The bytes of the weights file, known to fit the network."""
    from safetensors.torch import load

    from space import build_model

    file = run.path / "weights" / f"{record.trial}.safetensors"
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
    return {
        "run": run.name,
        "dataset": run.settings["data"].get("name"),
        "trial": record.trial,
        "flops": record.flops,
        "params": record.params,
        "accuracy": record.accuracy,
        "test_accuracy": finite(record.test_accuracy),
        "epochs": record.epochs,
    }
