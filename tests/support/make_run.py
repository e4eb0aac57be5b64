"""Makes a run folder with a real Optuna study, as a search leaves it, without training anything."""

from __future__ import annotations

import json
import math
import random
import sqlite3
import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from space import Architecture, Pool, count_flops, count_params

_RUNGS = (
    ((1, 16), (2, 32), (3, 48)),
    ((8, 128), (12, 128), (12, 192)),
)

OPTUNA_STATES = {
    "complete": TrialState.COMPLETE,
    "over_budget": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "duplicate": TrialState.FAIL,
    "running": TrialState.RUNNING,
}


def make_run(
    folder: str | Path,
    *,
    complete: int = 18,
    stopped: int = 4,
    failed: int = 2,
    running: int = 0,
    over_budget: int = 3,
    duplicate: int = 1,
    baselines: int = 3,
    epochs: int = 12,
    budget_flops: int = 2_000_000,
    seed: int = 0,
    name: str = "digits-2M",
    img_size: int = 8,
    class_names: list[str] | None = None,
    error: str = "loss became NaN in epoch 3",
    error_kind: str = "nan",
    test_accuracy: bool = True,
    finished: bool = True,
    settings: dict[str, Any] | None = None,
) -> Path:
    """A run folder with the asked number of trials of each state, drawn from `seed`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    class_names = class_names or [str(digit) for digit in range(10)]
    description = run_json(name, budget_flops, img_size, class_names, epochs, seed)
    description.update(settings or {})
    (folder / "run.json").write_text(json.dumps(description), encoding="utf-8")

    rng = random.Random(seed)
    states = ["complete"] * complete + ["stopped"] * stopped + ["failed"] * failed
    states += ["over_budget"] * over_budget + ["duplicate"] * duplicate
    rng.shuffle(states)
    proposals = [(state, None) for state in states + ["running"] * running]
    ladder = [("complete", rung) for rung in range(baselines)]
    study = new_study(folder, name)
    clock = 1_760_000_000.0
    for number, (state, rung) in enumerate(ladder + proposals):
        architecture = (
            draw_architecture(rng, img_size, len(class_names), budget_flops, over=state)
            if rung is None
            else plain(*_RUNGS[img_size >= 64][rung], img_size, len(class_names))
        )
        attrs = trial_attrs(architecture, state, rng, epochs, budget_flops, seed=seed + number)
        if rung is not None:
            attrs["baseline"] = f"plain_d{architecture.depth}_w{architecture.embed_dim}"
        if state == "failed":
            attrs["error"], attrs["error_kind"] = error, error_kind
            attrs["traceback"] = f"Traceback (most recent call last):\n  ...\nError: {error}"
        if state != "duplicate" and state != "over_budget":
            attrs["started"], attrs["worker"] = clock, "host:4242"
            clock += attrs.get("seconds") or 1.0
        add_trial(study, state, attrs)
    study.set_user_attr("finished", finished)
    if test_accuracy:
        for trial in study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
            if trial.user_attrs["state"] == "complete":
                accuracy = trial.user_attrs["curve"][-1]["accuracy"]
                study.set_user_attr(
                    f"test_accuracy:{trial.number}", round(max(0.0, accuracy - 0.006), 4)
                )
    return folder


def new_study(folder: Path, name: str) -> optuna.Study:
    """An empty study in `folder/study.db`, without waiting for the disk at every commit."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(folder / "study.db", check_same_thread=False)
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    # The URL only names the dialect: a path may hold what a URL may not.
    storage = RDBStorage("sqlite:///study.db", engine_kwargs={"creator": connect})
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=name, storage=storage, directions=["maximize", "minimize"]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(["accuracy", "flops"])
    return study


def add_trial(study: optuna.Study, state: str, attrs: dict[str, Any]) -> None:
    """Adds one trial as the search would have left it."""
    values = None
    if state == "complete":
        values = [attrs["curve"][-1]["accuracy"], attrs["flops"]]
    elif state == "over_budget":
        values = [0.0, attrs["flops"]]
    study.add_trial(create_trial(state=OPTUNA_STATES[state], values=values, user_attrs=attrs))


def trial_attrs(
    architecture: Architecture,
    state: str,
    rng: random.Random,
    epochs: int,
    budget_flops: int,
    *,
    seed: int,
) -> dict[str, Any]:
    """The attributes of one trial whose accuracy grows with FLOPs, with noise."""
    flops = count_flops(architecture)
    attrs: dict[str, Any] = {
        "architecture": architecture.to_dict(),
        "flops": flops,
        "params": count_params(architecture),
        "seed": seed,
    }
    if state == "running":
        return attrs
    attrs["state"] = state
    trained = {"complete": epochs, "stopped": max(1, epochs // 3), "failed": 2}.get(state, 0)
    if not trained:
        return attrs
    decades = math.log10(flops / budget_flops)
    final = 0.97 + 0.06 * decades + rng.gauss(0, 0.02) - 0.01 * bool(architecture.pools)
    final = min(0.995, max(0.15, final))
    attrs["curve"] = [
        {
            "epoch": epoch,
            "train_loss": 2.3 * math.exp(-3 * epoch / epochs) + 0.05,
            "val_loss": 2.3 * math.exp(-2.5 * epoch / epochs) + 0.12,
            "accuracy": round(final - (final - 0.1) * math.exp(-5 * epoch / epochs), 4),
            "seconds": 0.4,
            "images_per_second": 3200.0,
        }
        for epoch in range(1, trained + 1)
    ]
    attrs["seconds"] = 0.45 * trained
    return attrs


def plain(depth: int, embed_dim: int, img_size: int = 8, num_classes: int = 10) -> Architecture:
    """A ViT without Re-attention and without pools."""
    return Architecture(
        img_size=img_size,
        patch_size=2 if img_size < 64 else 16,
        in_chans=1 if img_size == 8 else 3,
        num_classes=num_classes,
        embed_dim=embed_dim,
        depth=depth,
        num_heads=max(1, embed_dim // 16),
    )


def draw_architecture(
    rng: random.Random, img_size: int, num_classes: int, budget_flops: int, *, over: str
) -> Architecture:
    """A random architecture below the budget, or above it where `over` is "over_budget"."""
    for _ in range(10_000):
        small = img_size < 64
        depth = rng.randint(1, 10) if small else rng.randint(6, 16)
        heads = rng.choice([1, 2, 3, 4] if small else [2, 3, 4, 6])
        wide = 16 * heads * rng.choice([1, 2]) if small else 64 * heads
        base = plain(depth, wide, img_size, num_classes)
        base = base.replace(num_heads=heads, mlp_ratio=rng.choice([2.0, 3.0, 4.0]))
        suffix = rng.randint(0, depth)
        pools, tokens = [], base.grid_tokens
        for after in sorted(rng.sample(range(depth), k=min(depth, rng.randint(0, 2)))):
            pool = Pool(after=after, op=rng.choice(["max", "avg"]))
            if 1 <= pool.tokens_after(tokens) < tokens:
                pools.append(pool)
                tokens = pool.tokens_after(tokens)
        base = base.replace(
            reattention=tuple(range(depth - suffix, depth)) if rng.random() < 0.6 else (),
            pools=tuple(pools),
            head=rng.choice(["avg", "token"]),
        )
        if (count_flops(base) > budget_flops) == (over == "over_budget"):
            return base
    raise ValueError(f"no architecture found on the asked side of {budget_flops=}.")


def run_json(
    name: str,
    budget_flops: int,
    img_size: int,
    class_names: list[str],
    epochs: int,
    seed: int,
) -> dict[str, Any]:
    """A run.json as a search writes it."""
    return {
        "schema": 1,
        "name": name,
        "created": "2026-11-21T04:00:00+00:00",
        "command": ["vit-frontier", "search", "--budget", "2M", "--seed", str(seed)],
        "settings": {
            "budget": budget_flops,
            "data": "digits",
            "trials": 24,
            "epochs": epochs,
            "sampler": "tpe",
            "early_stopping": True,
            "workers": 2,
            "seed": seed,
            "out": None,
        },
        "budget_flops": budget_flops,
        "max_params": None,
        "space": {"name": "digits", "depth": [1, 2, 4, 6, 8], "embed_dim": [16, 32, 48, 64]},
        "data": {
            "name": "digits",
            "img_size": img_size,
            "in_chans": 1,
            "num_classes": len(class_names),
            "class_names": class_names,
            "train": 1078,
            "validation": 359,
            "test": 360,
            "skipped": 0,
        },
        "recipe": {
            "epochs": epochs,
            "batch_size": 64,
            "learning_rate": 0.002,
            "warmup_epochs": 2,
            "weight_decay": 0.05,
            "label_smoothing": 0.1,
            "clip_grad": 1.0,
            "amp": "auto",
        },
        "storage": None,
        "versions": {
            "vit-frontier": "0.1.0",
            "python": "3.11.9",
            "torch": "2.15.0",
            "timm": "1.0.31",
            "optuna": "5.0.0",
            "ray": "2.60.0",
        },
        "hardware": {
            "cpus": 2,
            "cpu": "x86_64",
            "gpus": [],
            "memory_bytes": 8_000_000_000,
            "nodes": 1,
        },
        "seed": seed,
    }
