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

    from results import Run, TrialRecord
    from search.plan import Plan
    from trainers import Dataset

AT_ONCE = 16  # images


def inspect(
    run: Annotated[str, Argument(metavar="RUN", help="RUN:TRIAL, RUN:best, or a run folder.")],
    trial: Annotated[str | None, Argument(metavar="TRIAL", help="A trial with weights.")] = None,
    images: Annotated[int, Option(help="Validation images to look at.", min=1)] = 128,
    twin: Annotated[
        bool, Option("--twin", help="Train the network with plain attention to compare with.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Say how alike the attention maps and tokens of a network's blocks are (DeepViT)."""
    from rich.console import Console

    from results import write_results
    from results.replace import replace_file
    from results.similarity import inspected
    from results.similarity_chart import similarity_svg
    from results.words import index_ranges
    from search.commands.trial_names import read_trial
    from search.plan import plan_resume
    from search.study.errors import writing

    loaded, number, why = read_trial(run, trial)
    console = console_of(as_json)
    if why:
        print(why, file=sys.stderr)
    record, model = _with_weights(loaded, number)
    plan = plan_resume(loaded.path, {}, Console(quiet=True))
    batches = _batches(plan.dataset, images)
    told = {"trial": number, **inspected(model, batches)}
    told["plain"] = _plain(loaded, record, plan, batches, console, twin=twin)
    with writing(loaded.path, "report"):
        written = [
            replace_file(loaded.path / f"inspect-{number}.json", json.dumps(told, indent=1) + "\n"),
            replace_file(loaded.path / f"inspect-{number}.svg", similarity_svg(told)),
        ]
        written += [path for path in write_results(loaded) if path.name == "report.html"]
    _show(loaded, told, console)
    if told["without_maps"]:
        console.print(f"Without maps: blocks {index_ranges(told['without_maps'])}.", soft_wrap=True)
    for path in written:
        console.print(str(path), soft_wrap=True)
    if as_json:
        print(json.dumps(told))


def _plain(
    run: Run, record: TrialRecord, plan: Plan, batches: list[Any], console: Console, *, twin: bool
) -> dict[str, Any] | None:
    """What a plain network gives on the same images: the twin, trained for this, or the nearest of
    the run; None for a network that is plain, or a run that keeps no weights of one."""
    from results.similarity import inspected, is_plain, nearest_plain

    if is_plain(record.architecture):
        if twin:
            raise ValueError(
                f"`--twin` must be given for a network whose attention is not plain, but trial "
                f"{record.trial} is plain throughout: leave it out."
            )
        return None
    if twin:
        model, accuracy = _trained_twin(record, plan, console)
        return {"trial": None, "accuracy": accuracy, **inspected(model, batches)}
    nearest = nearest_plain(run, record)
    if nearest is None:
        console.print(
            "The run keeps the weights of no plain network to set beside it: --twin trains one.",
            soft_wrap=True,
        )
        return None
    return {"trial": nearest.trial, **inspected(_with_weights(run, nearest.trial)[1], batches)}


def _trained_twin(record: TrialRecord, plan: Plan, console: Console) -> tuple[Any, float]:
    """The network with plain attention, trained as the trial was; its validation accuracy."""
    from results.similarity import plain_twin
    from trainers import proxy_epochs

    if plan.train is not None:
        raise ValueError(
            "`--twin` must be of a run that our trainer trained, but this one has a training loop "
            "of its own: leave `--twin` out."
        )
    training = proxy_epochs(
        plain_twin(record.architecture), plan.dataset, plan.recipe, seed=record.seed,
        donor=plan.donor, metric=plan.settings.metric,
    )  # fmt: skip
    accuracy = 0.0
    for epoch in training:
        accuracy = epoch["accuracy"]
        console.print(
            f"Plain twin: epoch {epoch['epoch']} of {plan.recipe.epochs}, {accuracy:.4f}",
            highlight=False,
        )
    return training.model.cpu().eval(), accuracy


def _with_weights(run: Run, number: int) -> tuple[TrialRecord, Any]:
    """A trial and its network in evaluation. Raises ValueError if its weights are not there."""
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
    return record, model.eval()


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


def _show(run: Run, told: dict[str, Any], console: Console) -> None:
    from results.similarity import plain_text, similar_text

    console.print("block  maps like those before  tokens alike", highlight=False)
    for block, tokens in enumerate(told["tokens"]):
        cosine = told["before"][block]
        shown = "-" if cosine is None else f"{cosine:.3f}"
        console.print(f"{block:5}  {shown:>22}  {tokens:12.3f}", highlight=False)
    lines = [
        f"{similar_text(told)} (cosine above {told['alike']:g}); - where the maps are of another "
        f"size, or the block before has none. {told['images']} validation images."
    ]
    if told["plain"] is not None:
        lines.append(f"{plain_text(run, told['plain'])}: {similar_text(told['plain'])}.")
    for line in lines:
        console.print(f"{line[0].upper()}{line[1:]}", highlight=False, soft_wrap=True)
