"""The folder of a full training: train.json, the checkpoint of its last epoch, log.csv."""

from __future__ import annotations

import csv
import datetime
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.replace import replace_file
from search.study.description import describe_data, hardware, versions
from search.study.errors import writing
from space.files import refuse_irregular
from space.rules import show

if TYPE_CHECKING:
    from torch import Tensor

    from trainers import Dataset

SCHEMA = 1
DESCRIPTION, CHECKPOINT, LOG = "train.json", "checkpoint.safetensors", "log.csv"
_TABLES = ("architecture", "settings", "recipe", "data")


def is_training(folder: Path) -> bool:
    """Whether a full training began there."""
    return (folder / DESCRIPTION).is_file()


def describe(
    architecture: Any,
    settings: dict[str, Any],
    recipe: Any,
    dataset: Dataset,
    *,
    command: list[str],
) -> dict[str, Any]:
    """The contents of train.json of a training that begins."""
    return {
        "schema": SCHEMA,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command,
        "settings": settings,
        "architecture": architecture.to_dict(),
        "recipe": recipe.to_dict(),
        "data": describe_data(dataset),
        "versions": versions(),
        "hardware": hardware(),
        "result": None,
    }


def read_description(folder: Path) -> dict[str, Any]:
    """train.json. Raises ValueError if it is missing, broken or of another program."""
    file = folder / DESCRIPTION
    try:
        refuse_irregular(file)
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{str(file)!r} must be readable JSON, but: {str(error).rstrip('.')}. Restore it from "
            "a copy."
        ) from None
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != SCHEMA:
        raise ValueError(
            f"{str(file)!r} must be a training with `schema` {SCHEMA}, but has {show(schema)}: it "
            "was written by another program or by another version of vit-frontier."
        )
    for name in _TABLES:
        if not isinstance(found.get(name), dict):
            raise ValueError(
                f"In {str(file)!r} `{name}` must be a table, but got {show(found.get(name))}: "
                "restore the file."
            )
    return dict(found)


def refuse_another(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises ValueError unless train.json is of the same training."""
    for table in ("architecture", "recipe", "settings", "data"):
        for key, value in now[table].items():
            was = before[table].get(key)
            if was != value and key not in ("workers", "address", "brightness", "network"):
                raise ValueError(
                    f"`--out` (={str(folder)!r}) already holds a training whose `{key}` is "
                    f"{show(was)}, not {show(value)}: give another --out, or go on with that one "
                    f"by `vit-frontier resume {folder}`."
                )


def write_description(folder: Path, description: dict[str, Any]) -> None:
    """Raises StorageError."""
    with writing(folder):
        replace_file(folder / DESCRIPTION, json.dumps(description, indent=2) + "\n")


def keep_epoch(folder: Path, log: list[dict[str, Any]], state: Mapping[str, Tensor]) -> None:
    """Writes log.csv, then the checkpoint, each as a whole or not at all. Raises StorageError."""
    from safetensors.torch import save

    text = io.StringIO()
    table = csv.DictWriter(text, list(log[-1]), lineterminator="\n")
    table.writeheader()
    table.writerows(log)
    with writing(folder):
        replace_file(folder / LOG, text.getvalue())
        replace_file(folder / CHECKPOINT, save(dict(state)))


def read_checkpoint(folder: Path) -> tuple[dict[str, Tensor] | None, list[dict[str, Any]]]:
    """The state after the last epoch that was kept, None before the first, and the lines of log.csv
    up to then. Raises ValueError if one of them is broken."""
    from safetensors.torch import load

    file = folder / CHECKPOINT
    if not file.exists():
        return None, []
    try:
        state = load(file.read_bytes())
        epochs = int(state["epoch"])
        with (folder / LOG).open(encoding="utf-8", newline="") as lines:
            log: list[dict[str, Any]] = [
                row for row in csv.DictReader(lines) if int(row["epoch"]) <= epochs
            ]
        if len(log) != epochs:
            raise ValueError(f"{LOG} has {len(log)} of {epochs} epochs")
    except Exception as error:  # safetensors raises several kinds on a broken file
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise ValueError(
            f"{str(file)!r} must hold the state of a training, and {LOG} its epochs, but: "
            f"{reason}. Restore both from a copy, or train into another folder."
        ) from None
    return state, log
