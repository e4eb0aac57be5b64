"""Everything a search was asked for, resolved and validated before the first trial."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.words import format_count
from space import NAMED, Architecture, SearchSpace, count_flops, count_params
from space.rules import LIMITS, check_keys, did_you_mean, integer, show
from trainers.recipe import PROXIES

SAMPLERS = ("frontier", "tpe", "nsga2", "gp", "random")
MOST_FLOPS = 10**21
MAX_WORKERS = 10**5
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """One search. `None` means off, or for `workers`, `epochs` and `gpus_per_trial`: chosen from
    the machine and the data. Raises ValueError naming the option, its value and the fix."""

    # `budget`: multiply-accumulates of one image; `time_limit`: seconds; `silence`: seconds without
    # a report after which a worker is taken to hang and killed; `train`: "module:function" of a
    # training loop of one's own.

    budget: int
    space: SearchSpace
    data: str = "digits"
    data_root: str | None = None
    out: str = "runs/run"
    max_params: int | None = None
    img_size: int | None = None
    train_samples: int | None = None
    val_samples: int | None = None
    trials: int = 24
    time_limit: float | None = None
    epochs: int | None = None
    proxy: str = "faithful"
    sampler: str = "frontier"
    early_stopping: bool = True
    baselines: bool = True
    seed: int = 0
    workers: int | None = None
    cpus_per_trial: float = 1.0
    gpus_per_trial: float | None = None
    cuda_graphs: bool = False
    silence: float = 1800.0
    address: str | None = None
    storage: str | None = None
    train: str | None = None

    def __post_init__(self) -> None:
        check_options({field.name: getattr(self, field.name) for field in dataclasses.fields(self)})
        self._check_that_one_fits()

    def _check_that_one_fits(self) -> None:
        smallest = self.space.smallest()
        if count_flops(smallest) > self.budget:
            raise ValueError(
                f"`--budget` (={self.budget} FLOPs) must be at least what the smallest "
                f"architecture of the space {self.space.name!r} costs, "
                f"{count_flops(smallest)} FLOPs ({_sizes(smallest)}): raise the budget or give a "
                "smaller space by --space."
            )
        if self.max_params is None:
            return
        leanest = self.space.leanest(self.budget) or smallest
        if count_params(leanest) > self.max_params:
            raise ValueError(
                f"`--max-params` (={self.max_params}) must be at least what the leanest "
                f"architecture of the space {self.space.name!r} within the budget of "
                f"{self.budget} FLOPs has, {count_params(leanest)} parameters "
                f"({_sizes(leanest)}): raise it or --budget, or give a smaller space by --space."
            )

    @property
    def reference_accuracy(self) -> float:
        """The accuracy of guessing, from which the hypervolume is measured."""
        return 1.0 / self.space.num_classes

    @property
    def on_this_machine(self) -> bool:
        """Whether Ray is started here for this search, and no cluster is joined."""
        return (self.address or os.environ.get("RAY_ADDRESS") or "local") == "local"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; `from_dict` gives the same settings back."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return values | {"space": self.space.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SearchSettings:
        """The settings of a run.json. Raises ValueError."""
        check_keys("settings", values, [f.name for f in dataclasses.fields(cls)], _REQUIRED)
        return cls(**{**values, "space": SearchSpace.from_dict(values["space"])})


def check_options(values: Mapping[str, Any]) -> None:
    """Raises ValueError on an option whose value cannot be, whatever the space and the images are:
    a mistake in typing does not wait for them."""
    for name, kind in _KINDS.items():
        if not isinstance(values[name], kind):
            raise ValueError(
                f"`{_option(name)}` must be {_KIND_NAMES[kind]}: {show(values[name])}."
            )
    for name, most in _COUNTS.items():
        if values[name] is not None or name not in _OPTIONAL:
            rule = integer(1, most)
            rule.check(_option(name), values[name], fix="choose one of these")
    if type(values["seed"]) is not int or not 0 <= values["seed"] < 2**32:
        raise ValueError(
            f"`--seed` must be an integer from 0 to 2**32 - 1: {show(values['seed'])}."
        )
    for name, (words, fits) in _NUMBERS.items():
        value = values[name]
        if value is None and name in _OPTIONAL:
            continue
        if type(value) not in (int, float) or not fits(value):
            raise ValueError(
                f"`{_option(name)}` must be {words}, but got {show(value)}: choose one of these."
            )
    refuse_memory(values["storage"])
    refuse_ray_client(values["address"])
    for name, known in (("sampler", SAMPLERS), ("proxy", PROXIES)):
        if values[name] not in known:
            hint = did_you_mean(values[name], known)
            raise ValueError(f"Unknown `--{name}` {show(values[name])}{hint}")


_REQUIRED = ("budget", "space")
_KINDS: dict[str, Any] = {
    **dict.fromkeys(("data", "out", "sampler", "proxy"), str),
    **dict.fromkeys(("data_root", "address", "storage", "train"), str | None),
    **dict.fromkeys(("early_stopping", "baselines", "cuda_graphs"), bool),
}
_KIND_NAMES = {str: "a text", str | None: "a text", bool: "true or false"}
_OPTIONAL = """max_params img_size train_samples val_samples time_limit epochs workers
    gpus_per_trial""".split()
_COUNTS = {  # the most of each
    "budget": MOST_FLOPS,
    "max_params": 10**21,
    "img_size": LIMITS["img_size"],
    "train_samples": 10**12,
    "val_samples": 10**12,
    "trials": 10**7,
    "epochs": 10**5,
    "workers": MAX_WORKERS,
}
_NUMBERS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "time_limit": ("a number above 0 and at most 1e9", lambda x: 0 < x <= 1e9),
    "silence": ("a number above 0 and at most 1e9", lambda x: 0 < x <= 1e9),
    "cpus_per_trial": ("a number from 0.01 to 10000", lambda x: 0.01 <= x <= 10**4),
    # Ray reserves a part of one GPU, or whole ones.
    "gpus_per_trial": (
        "0, a number from 0.01 to 1, or a whole number up to 10000",
        lambda x: x == 0 or 0.01 <= x <= 1 or (1 < x <= 10**4 and x == int(x)),
    ),
}
_IN_MEMORY = re.compile(r"sqlite(\+\w+)?:(/*((file:)?:memory:)?(\?.*)?|.*[?&]mode=memory\b.*)")


def parse_budget(text: str) -> int:
    """FLOPs (multiply-accumulates) of `1.3G`, `300M`, `2500000`, or of a named architecture."""
    return _parse_count(text, "--budget", "FLOPs", count_flops)


def parse_max_params(text: str) -> int:
    """Parameters of `5M`, `300K`, `2500000`, or of a named architecture."""
    return _parse_count(text, "--max-params", "parameters", count_params)


def _parse_count(text: str, option: str, unit: str, of: Callable[[Architecture], int]) -> int:
    match = re.fullmatch(_NUMBER + r"([KMGT]?)(?:FLOPS?|MACS?)?\s*", text, re.IGNORECASE | re.ASCII)
    if match is None:
        if text in NAMED:
            return of(NAMED[text])
        raise ValueError(
            f"`{option}` must be {unit} such as 2M, 1.3G or 2500000, or the name of an "
            f"architecture, but got {text!r:.60}{did_you_mean(text, NAMED)}"
        )
    value = float(match[1]) * _UNITS[match[2].upper()]
    if not 1 <= value <= MOST_FLOPS:
        raise ValueError(
            f"`{option}` must be at least 1 and at most 1e21 {unit}, but got {text!r:.60}."
        )
    return round(value)


def parse_seconds(text: str, option: str = "--time-limit") -> float:
    """Seconds of `90`, `90s`, `15m`, `2h` or `1d`."""
    match = re.fullmatch(_NUMBER + r"([smhd]?)\s*", text)
    if match is None or not 0 < float(match[1]) < math.inf:
        raise ValueError(f"`{option}` must be a time such as 90s, 15m or 2h, but got {text!r}.")
    return float(match[1]) * _SECONDS[match[2]]


def parse_workers(text: str) -> int | None:
    """How many trials at a time: a number, or None for auto."""
    if text == "auto":
        return None
    count = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if not 1 <= count <= MAX_WORKERS:
        raise ValueError(
            f"`--workers` must be auto or an integer from 1 to {MAX_WORKERS}, but got "
            f"{text!r:.60}: choose one of these."
        )
    return count


def default_space(img_size: int) -> str:
    """The built-in space that fits images of that size."""
    if img_size <= 16:
        return "digits"
    return "cifar" if img_size <= 96 else "hvt_deit_tiny"


def new_run_folder(data: str, budget: int, runs: Path = Path("runs")) -> Path:
    """runs/<data>-<budget>, or the first of -2, -3, ... that is free."""
    stem = re.sub(r"[^A-Za-z0-9._]+", "-", Path(data).name or data).strip("-.") or "run"
    name = f"{stem[:40]}-{format_count(budget)}"
    candidates = (name if i == 1 else f"{name}-{i}" for i in range(1, 10**6))
    return next(runs / n for n in candidates if not (runs / n).exists())


def refuse_shadows() -> None:
    """Raises ValueError if Ray's workers, which look into the current folder first, would import a
    file of the user's there for one of these packages."""
    for name in ("search", "space", "trainers"):
        if Path(f"{name}.py").is_file():
            raise ValueError(
                f"The current folder must not hold {name}.py: Ray's workers would take it for the "
                f"package {name!r} of vit-frontier. Rename it, or search from another folder."
            )


def refuse_ray_client(address: str | None) -> None:
    """Raises ValueError for ray://, which reaches a cluster through a proxy: Tune then has no node
    of Ray on this machine to run on."""
    if address is not None and address.lower().startswith("ray://"):
        raise ValueError(
            f"`--address` (={show(address)}) must be auto or host:port: Ray Tune does not run "
            "through Ray Client: start the search on a machine of the cluster with --address "
            "host:port, or send it there by `ray job submit --working-dir . -- python -m search "
            "search ...`."
        )


def refuse_memory(storage: str | None) -> None:
    """Raises ValueError for SQLite without a file, which would keep nothing."""
    if storage is not None and _IN_MEMORY.fullmatch(storage):
        raise ValueError(
            f"`--storage` (={show(storage)}) must keep the study, but a database in memory is lost "
            "with the process: name a file, such as sqlite:////folder/study.db, or leave the "
            "option out."
        )


def refuse_existing_run(folder: Path) -> None:
    """Raises ValueError if the folder holds a run, or what is left of one."""
    if (folder / "study.db").exists() and not (folder / "run.json").exists():
        raise ValueError(
            f"`--out` (={str(folder)!r}) must hold no run, but has a study.db whose run.json is "
            "lost: restore run.json to go on with it, or give another folder."
        )
    if (folder / "run.json").exists():
        raise ValueError(
            f"`--out` (={str(folder)!r}) already holds a run: go on with it by "
            f"`vit-frontier resume {folder}`, or give another folder."
        )


def _sizes(architecture: Architecture) -> str:
    a = architecture
    names = ("patch_size", "embed_dim", "depth", "num_heads")
    shape = ", ".join(f"{name}={getattr(a, name)}" for name in names if hasattr(a, name))
    ratio = getattr(a.stages[0].mlp, "ratio", 0)
    after = len(list(a.after_blocks()))
    return f"img_size={a.img_size}, {shape}, mlp_ratio={ratio:g}, {after} pools"


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
