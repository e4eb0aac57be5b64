"""Which network is meant: a name, a JSON file, an exported folder, or a trial of a run."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.commands.trial_names import read_trial
from space import NAMED, Architecture, named
from space.files import read_small_file

_OF_THE_DATA = ("data", "data_root")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network as it was named. `data`: options by which the images of its run are found again,
    None where it is of no run; `is_named`: it is for images of any kind."""

    architecture: Architecture
    name: str
    is_named: bool = False
    data: dict[str, Any] | None = None
    of_run: bool = False


def read_network(text: str) -> Network:
    """The network of a name, a file, a folder that `export` wrote, or RUN:TRIAL. Raises
    ValueError."""
    path = Path(text)
    if text in NAMED:
        return Network(architecture=named(text), name=text, is_named=True)
    if path.is_dir() and (path / "config.json").is_file():
        path = path / "config.json"
    elif path.suffix != ".json" and not path.exists() and ":" in text:
        return _of_run(text)
    name = path.parent.resolve().name if path.name == "config.json" else path.stem
    return Network(architecture=read_architecture(str(path)), name=name)


def _of_run(text: str) -> Network:
    run, number, why = read_trial(text, None)
    if why:
        print(why, file=sys.stderr)
    record = next((record for record in run.records if record.trial == number), None)
    if record is None:
        raise ValueError(
            f"`TRIAL` must be a trial of {str(run.path)!r} that was trained, but got {number}: "
            f"`vit-frontier status {run.path}` lists the frontier."
        )
    settings = run.settings.get("settings") or {}
    data = {name: settings.get(name) for name in _OF_THE_DATA}
    data["data_seed"] = settings.get("seed", 0)
    known = isinstance(data["data"], str) and not data["data"].startswith("given:")
    return Network(
        architecture=record.architecture,
        name=f"{run.name}-{number}",
        data=data if known else None,
        of_run=True,
    )


def read_architecture(name_or_file: str) -> Architecture:
    """A named architecture, or one from a JSON file (also a member of a frontier.json)."""
    path = Path(name_or_file)
    if not path.exists() and Path(name_or_file.rpartition(":")[0], "run.json").is_file():
        return _of_run(name_or_file).architecture
    if name_or_file in NAMED or not (path.suffix == ".json" or path.exists()):
        return named(name_or_file)
    if (path / "run.json").is_file():
        path = path / "frontier.json"
    try:
        values = json.loads(read_small_file(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name_or_file} must be an architecture as JSON: {error}") from None
    if isinstance(values, dict) and isinstance(values.get("points"), list):
        trials = [str(p.get("trial")) for p in values["points"] if isinstance(p, dict)]
        raise ValueError(
            f"{name_or_file} holds a whole frontier, the trials {', '.join(trials) or 'none'}: "
            f"name one of them, as {path.parent}:{trials[0] if trials else 'TRIAL'}."
        )
    if isinstance(values, dict) and isinstance(values.get("model_args"), dict):
        values = values["model_args"]  # of a folder that `export` wrote
    if isinstance(values, dict) and isinstance(values.get("architecture"), dict):
        values = values["architecture"]
    try:
        return Architecture.from_dict(values)
    except ValueError as error:
        raise ValueError(f"{name_or_file}: {error}") from None
