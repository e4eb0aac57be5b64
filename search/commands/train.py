"""The command that trains one network by a full recipe, after a search."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from search.commands import options as o
from search.commands.exits import INTERRUPTED, console_of

if TYPE_CHECKING:
    from rich.console import Console

    from search.train import TrainPlan

Data = Annotated[str | None, Option(help="As of a search. [that of RUN, else digits]")]
ImgSize = Annotated[int | None, Option(help="Pixels; a named network is built for them. [its own]")]
RecipeName = Annotated[
    str | None, Option(help="deit, hvt, deepvit or small. [small below 96 pixels]")
]
Epochs = Annotated[int | None, Option(help="Epochs. [of the recipe]")]
BatchSize = Annotated[int | None, Option(help="Images a step, of all workers. [of the recipe]")]
Rate = Annotated[float | None, Option(help="Highest learning rate. [of the recipe, by the batch]")]
TeacherName = Annotated[
    str | None, Option(help="Learn from a folder of export or train, RUN:TRIAL, or timm's name.")
]
Diversity = Annotated[float | None, Option(help="Weight of DiversePatch's losses. [0]")]
Out = Annotated[str | None, Option(help="Its folder, gone on with. [runs/train-NAME]")]


def train(
    network: Annotated[
        str, Argument(metavar="NAME|FILE|RUN:TRIAL", help="deit_tiny, ..., JSON, or a trial.")
    ],
    data: Data = None,
    data_root: o.DataRoot = None,
    img_size: ImgSize = None,
    train_samples: o.TrainSamples = None,
    val_samples: o.ValSamples = None,
    recipe: RecipeName = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Rate = None,
    teacher: TeacherName = None,
    diversity: Diversity = None,
    seed: Annotated[int, Option(help="Of weights, order and augmentation.")] = 0,
    workers: Annotated[int, Option(help="Processes of a Ray cluster, each with a GPU if any.")] = 1,
    address: o.Address = None,
    out: Out = None,
    as_json: o.Json = False,
) -> None:
    """Train one network by a full recipe; the same command goes on after an interruption."""
    asked = {k: v for k, v in locals().items() if k not in ("network", "as_json")}
    from search.commands.networks import read_network
    from search.commands.teachers import kept_name
    from search.train import plan_training

    console = console_of(as_json)
    found = read_network(network)
    asked |= {"data_seed": seed, "teacher": kept_name(teacher)}
    if data is None:
        asked |= found.data or {"data": "digits"}
    plan = plan_training(
        found.architecture, asked, console,
        name=found.name, fits_images=found.is_named, command=["vit-frontier", *sys.argv[1:]],
    )  # fmt: skip
    _run(plan, console, as_json)


def go_on(folder: Path, changes: dict[str, Any], *, as_json: bool) -> None:
    """Goes on with the training of a folder. Raises ValueError for options of a search."""
    from search.train import plan_going_on
    from search.units import parse_workers

    known = {name: changes.pop(name, None) for name in ("workers", "address")}
    wrong = [name for name, value in changes.items() if value is not None]
    if wrong:
        raise ValueError(
            f"`--{wrong[0].replace('_', '-')}` must not be given for {str(folder)!r}, which is the "
            "training of one network: leave it out."
        )
    console = console_of(as_json)
    if known["workers"] is not None:
        known["workers"] = parse_workers(known["workers"]) or 1
    _run(plan_going_on(folder, known, console), console, as_json)


def _run(plan: TrainPlan, console: Console, as_json: bool) -> None:
    """Trains and ends the process with its exit code."""
    from search.commands.teachers import read_teacher
    from search.terminal.train_progress import say
    from search.train import carry_out, introduce
    from trainers import NonFiniteLossError, error_kind

    teacher = read_teacher(plan.settings["teacher"], plan.dataset)
    introduce(plan, console)
    try:
        result = carry_out(plan, console, teacher=teacher)
    except (SystemExit, KeyboardInterrupt):
        say(console, f"Interrupted. Go on by: vit-frontier resume {plan.folder}")
        sys.exit(INTERRUPTED)
    except NonFiniteLossError as error:
        peak = plan.recipe.peak_learning_rate
        print(f"Error: {error}: train again with a lower --lr than {peak:g}.", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        if error_kind(error) != "out_of_memory":
            raise
        print(
            f"Error: a batch of {plan.recipe.batch_size} images takes more memory than there is: "
            "train again with a smaller --batch-size.",
            file=sys.stderr,
        )
        sys.exit(1)
    say(console, _ended(result, plan.folder))
    if as_json:
        print(json.dumps({"folder": str(plan.folder), **result}))


def _ended(result: dict[str, Any], folder: Path) -> str:
    tested = f"{result['test_accuracy']:.4f}"
    if result["ema_test_accuracy"] is not None:
        tested += f", of the averaged weights {result['ema_test_accuracy']:.4f}"
    which = "The averaged" if result["weights"] == "ema" else "The last"
    return (
        f"Test accuracy {tested}.\n"
        f"{which} weights, by validation accuracy, for timm: {folder / 'model'}"
    )
