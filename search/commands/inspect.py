"""The command that looks into a trained network: inspect."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from search.commands import options as o
from search.commands.exits import console_of

if TYPE_CHECKING:
    from rich.console import Console

    from results import Run
    from trainers import Dataset

AT_ONCE = 16  # images


def inspect(
    run: Annotated[str, Argument(metavar="RUN", help="RUN:TRIAL, RUN:best, or a run folder.")],
    trial: Annotated[str | None, Argument(metavar="TRIAL", help="A trial with weights.")] = None,
    images: Annotated[int, Option(help="Validation images to look at.", min=1)] = 128,
    as_json: o.Json = False,
) -> None:
    """Say how alike the attention maps and tokens of a network's blocks are (DeepViT)."""
    from rich.console import Console

    from results.replace import replace_file
    from results.similarity import heat_map, inspected
    from results.words import index_ranges
    from search.commands.trial_names import read_trial
    from search.plan import plan_resume

    loaded, number, why = read_trial(run, trial)
    console = console_of(as_json)
    if why:
        print(why, file=sys.stderr)
    model = _with_weights(loaded, number)
    dataset = plan_resume(loaded.path, {}, Console(quiet=True)).dataset
    told = {"trial": number, **inspected(model, _batches(dataset, images))}
    written = [
        replace_file(loaded.path / f"inspect-{number}.json", json.dumps(told, indent=1) + "\n"),
        replace_file(
            loaded.path / f"inspect-{number}.svg", heat_map(told, f"Trial {number}: attention maps")
        ),
    ]
    _show(told, console)
    if told["without_maps"]:
        console.print(f"Without maps: blocks {index_ranges(told['without_maps'])}.", soft_wrap=True)
    for path in written:
        console.print(str(path), soft_wrap=True)
    if as_json:
        print(json.dumps(told))


def _with_weights(run: Run, number: int) -> Any:
    """The network of a trial in evaluation. Raises ValueError if its weights are not there."""
    from safetensors.torch import load_file

    from space import build_model

    record = next((record for record in run.records if record.trial == number), None)
    file = run.path / "weights" / f"{number}.safetensors"
    if record is None or not file.is_file():
        kept = sorted(int(path.stem) for path in file.parent.glob("*.safetensors"))
        raise ValueError(
            f"`TRIAL` must be one whose weights are kept in {str(file.parent)!r}, but got "
            f"{number}: choose {', '.join(map(str, kept)) if kept else 'another run'}."
        )
    model = build_model(record.architecture)
    try:
        model.load_state_dict(load_file(file))
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{str(file)!r} must hold the weights of trial {number}, but: {error}"[:500]
        ) from None
    return model.eval()


def _batches(dataset: Dataset, count: int) -> list[Any]:
    """The first validation images, as networks take them, a few at a time: maps are large."""
    import torch

    from trainers.device.streaming import open_split

    split = open_split(
        dataset.val_images[:count], dataset.val_labels[:count], mean=dataset.mean,
        std=dataset.std, img_size=dataset.img_size, device=torch.device("cpu"),
    )  # fmt: skip
    window = split.window(AT_ONCE)
    return [window.batch(rows) for rows in torch.split(torch.arange(len(split)), AT_ONCE)]


def _show(told: dict[str, Any], console: Console) -> None:
    console.print("block  maps like those before  tokens alike", highlight=False)
    for block, tokens in enumerate(told["tokens"]):
        cosine = told["before"][block]
        shown = "-" if cosine is None else f"{cosine:.3f}"
        console.print(f"{block:5}  {shown:>22}  {tokens:12.3f}", highlight=False)
    compared = sum(cosine is not None for cosine in told["before"])
    console.print(
        f"{len(told['similar'])} of {compared} blocks that can be compared are similar to the one "
        f"before (cosine above {told['alike']:g}); - where the maps are of another size, or the "
        f"block before has none. {told['images']} validation images.",
        highlight=False,
        soft_wrap=True,
    )
