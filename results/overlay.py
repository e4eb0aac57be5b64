"""Several runs in one page: what differs between them, and the frontiers of each kind as bands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from results.frontier import hypervolume
from results.run import Run
from results.words import counted

QUARTILES_FROM = 4  # runs; of fewer a band is their whole range
_ALIKE = ("name", "num_classes", "in_chans", "metric")
# What may differ between repetitions of one setting.
_REPEATED = {"seed", "out", "workers", "cpus_per_trial", "gpus_per_trial", "cuda_graphs"}
_REPEATED |= {"silence", "address", "storage", "log", "data_root", "guessing"}
_REPEATED |= {"data", "metric", "budget"}  # told otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Runs of one setting. `name` tells by what it differs from the other groups."""

    name: str
    runs: tuple[Run, ...]


def groups_of(runs: Sequence[Run]) -> list[Group]:
    """The runs by setting, in the order given. Raises ValueError unless there are two or more, each
    once, of the same data and metric."""
    _check(runs)
    told = [_setting(run) for run in runs]
    keys = list(dict.fromkeys(key for setting in told for key in setting))
    differing = [key for key in keys if any(s.get(key) != told[0].get(key) for s in told)]
    texts = {key: _texts([setting.get(key) for setting in told], key) for key in differing}
    named: dict[str, list[Run]] = {}
    for index, run in enumerate(runs):
        name = ", ".join(texts[key][index] for key in differing)
        named.setdefault(name or counted(len(runs), "run"), []).append(run)
    return [Group(name=name, runs=tuple(of)) for name, of in named.items()]


def attained(runs: Sequence[Run], flops: float, share: float) -> float:
    """The highest accuracy that at least `share` of the runs reach within `flops`; -inf for none.

    The summary attainment surface of Fonseca and Fleming.
    """
    best = sorted((_best(run, flops) for run in runs), reverse=True)
    return best[max(1, math.ceil(share * len(best))) - 1]


def band_rows(group: Group) -> list[dict[str, Any]]:
    """Median, low and high of the group's staircases wherever one steps; of one run no band."""
    runs, many = group.runs, len(group.runs)
    shares = (0.75, 0.25) if many >= QUARTILES_FROM else (1.0, 1 / many)
    budget = runs[0].budget_flops
    rows = []
    for flops in sorted({budget, *(record.flops for run in runs for record in run.front)}):
        median, low, high = (attained(runs, flops, share) for share in (0.5, *shares))
        if not math.isfinite(median):
            continue
        row = {"group": group.name, "flops": flops, "median": median}
        rows.append(row | ({"low": low, "high": high} if many > 1 and math.isfinite(low) else {}))
    return rows


def common_hypervolume(run: Run, runs: Sequence[Run]) -> float:
    """The hypervolume up to the smallest budget, from the same accuracy for all `runs`."""
    return hypervolume(
        run.records,
        budget_flops=min(other.budget_flops for other in runs),
        reference_accuracy=max(other.reference_point[1] for other in runs),
    )


def _check(runs: Sequence[Run]) -> None:
    folders = [run.path.resolve() for run in runs]
    if len(set(folders)) < max(2, len(folders)):
        raise ValueError(
            f"`--overlay` must have two run folders or more, each once, but got {len(runs)} "
            f"({', '.join(str(run.path) for run in runs)}): name another."
        )
    first = _kind(runs[0])
    for run in runs[1:]:
        kind = _kind(run)
        if first["fingerprint"] and first["fingerprint"] == kind["fingerprint"]:
            kind["name"] = first["name"]  # the same images, in another folder
        for key in (key for key in _ALIKE if kind[key] != first[key]):
            raise ValueError(
                f"`--overlay` must have runs of the same data and metric, but `{key}` is "
                f"{first[key]!r} in {str(runs[0].path)!r} and {kind[key]!r} in {str(run.path)!r}: "
                "leave one of them out."
            )


def _kind(run: Run) -> dict[str, Any]:
    data = run.settings["data"]
    keys = ("name", "num_classes", "in_chans", "fingerprint")
    return {key: data.get(key) for key in keys} | {"metric": run.metric}


def _setting(run: Run) -> dict[str, Any]:
    """All of run.json that makes a setting, by name."""
    asked, data = run.settings.get("settings"), run.settings["data"]
    recipe = run.settings.get("recipe")
    told: dict[str, Any] = {"budget": run.budget_flops}
    if isinstance(asked, dict):
        told |= {key: value for key, value in asked.items() if key not in _REPEATED}
    told |= {"space": run.settings.get("space")}
    if isinstance(recipe, dict):
        told |= recipe
    images = {"train_samples": data.get("train"), "val_samples": data.get("validation")}
    return told | images | {"img_size": data.get("img_size")}


def _texts(values: Sequence[Any], key: str) -> list[str]:
    """Each value of a key in words; tables by their names, numbered where these are the same."""
    tables = [value for value in values if isinstance(value, dict)]
    if not tables:
        return [f"{key} {'not told' if value is None else value}" for value in values]
    different = [table for i, table in enumerate(tables) if table not in tables[:i]]
    names = {str(table.get("name")) for table in different}
    texts = []
    for value in values:
        name = str(value.get("name")) if isinstance(value, dict) else "not told"
        number = f" ({different.index(value) + 1})" if value in different else ""
        texts.append(f"{key} {name}{number if len(names) < len(different) else ''}")
    return texts


def _best(run: Run, flops: float) -> float:
    return max((r.accuracy or 0.0 for r in run.front if r.flops <= flops), default=-math.inf)
