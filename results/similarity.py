"""Attention collapse: how alike the attention maps and the tokens of a network's blocks are."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from results.words import counted, percent, scaled
from space import Architecture
from space.files import read_small_file
from space.parts import Plain

if TYPE_CHECKING:
    from torch import Tensor, nn

    from results.record import TrialRecord
    from results.run import Run

Told = dict[str, Any]
"""What `inspected` gives, with `trial`; of a network that is not plain `plain`, the same of the one
it is compared with, whose `trial` is None where it was trained for that."""
ALIKE = 0.9  # cosine from which the maps of a block are those of the block before


def map_similarity(maps: list[Tensor]) -> list[list[float | None]]:
    """The cosine similarity of the maps (B, H, N, N) of all pairs of blocks, the mean over images,
    heads and tokens (equation 2 of arXiv 2103.11886); None where their shapes differ."""
    from torch.nn import functional as F

    found: list[list[float | None]] = [[None] * len(maps) for _ in maps]
    for p, q in itertools.combinations_with_replacement(range(len(maps)), 2):
        if maps[p].shape == maps[q].shape:
            cosine = float(F.cosine_similarity(maps[p], maps[q], dim=-2).mean())
            found[p][q] = found[q][p] = cosine
    return found


def token_similarity(tokens: Tensor) -> float:
    """The mean cosine similarity of different tokens (B, N, C) of an image; 1 for one token."""
    from torch.nn import functional as F

    count = tokens.shape[1]
    if count < 2:
        return 1.0
    total = F.normalize(tokens.double(), dim=-1).sum(dim=1).square().sum(dim=-1)
    return float(((total - count) / (count * (count - 1))).mean())


def inspected(model: nn.Module, batches: Sequence[Tensor]) -> dict[str, Any]:
    """What `inspect` tells of a network in evaluation, on images (B, C, H, W), as plain JSON.

    `blocks` are those that have maps, `maps` their similarities, `before` that of a block's maps to
    those of the block before, `similar` the blocks where it is above `ALIKE` (our threshold),
    `tokens` the similarity of tokens behind every block. Means over all images of the batches.
    """
    paths = [name for name, module in model.named_modules() if hasattr(module, "attention_maps")]
    numbers = [int(path.split(".")[1]) for path in paths]
    sizes = np.array([len(images) for images in batches], float)
    looks = [_look(model, images) for images in batches]
    maps = _mean([np.array(maps, float) for maps, _ in looks], sizes)  # NaN for None
    tokens = _mean([np.array(tokens, float) for _, tokens in looks], sizes)
    before = {
        number: maps[i][i - 1]
        for i, number in enumerate(numbers)
        if i and numbers[i - 1] == number - 1
    }
    return {
        "schema": 1,
        "images": int(sizes.sum()),
        "blocks": numbers,
        "without_maps": [i for i in range(len(tokens)) if i not in numbers],
        "maps": maps,
        "alike": ALIKE,
        "before": [before.get(number) for number in range(len(tokens))],
        "similar": [n for n, cosine in before.items() if cosine is not None and cosine > ALIKE],
        "tokens": tokens,
    }


def _look(model: nn.Module, images: Tensor) -> tuple[list[list[float | None]], list[float]]:
    """The similarities of maps and of tokens on one batch."""
    import torch

    from space.modules.attention import attention_maps

    outputs: list[float] = []

    def record(_: nn.Module, __: Any, out: Any) -> None:
        outputs.append(token_similarity(out[0] if isinstance(out, tuple) else out))

    blocks: Any = model.blocks
    hooks = [block.register_forward_hook(record) for block in blocks]
    try:
        with torch.inference_mode():
            return map_similarity(attention_maps(model, images)), outputs
    finally:
        for hook in hooks:
            hook.remove()


def _mean(values: Sequence[NDArray[np.float64]], weights: NDArray[np.float64]) -> Any:
    """The weighted mean of arrays, as lists with None for NaN."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(one) for one in value]
        return None if math.isnan(value) else value

    return plain(np.average(values, axis=0, weights=weights).tolist())


def plain_twin(architecture: Architecture) -> Architecture:
    """The network with plain attention of as many heads in every block. Raises ValueError where
    the attention changes the width."""
    stages = (
        replace(stage, attention=Plain(num_heads=getattr(stage.attention, "num_heads", 1)))
        for stage in architecture.stages
    )
    try:
        twin = architecture.replace(stages=tuple(stages))
    except ValueError as error:
        raise ValueError(f"The network must have a plain twin, but: {error}") from None
    if twin.embed_dim != architecture.embed_dim:
        raise ValueError(
            "The network must have a plain twin, but its attention makes tokens wider "
            f"({twin.embed_dim} to {architecture.embed_dim}): inspect it without a twin."
        )
    return twin


def is_plain(architecture: Architecture) -> bool:
    """Whether all of its attention is."""
    return all(isinstance(stage.attention, Plain) for stage in architecture.stages)


def nearest_plain(run: Run, record: TrialRecord) -> TrialRecord | None:
    """The plain network of two blocks or more whose weights the run keeps that is nearest in FLOPs,
    as a ratio."""
    there = [
        other
        for other in run.records
        if other.architecture.depth > 1
        and is_plain(other.architecture)
        and (run.path / "weights" / f"{other.trial}.safetensors").is_file()
    ]
    return min(there, key=lambda other: abs(math.log(other.flops / record.flops)), default=None)


def read_inspected(folder: Path) -> list[Told]:
    """What `vit-frontier inspect` wrote into a run folder, by trial. Raises ValueError."""
    found = [_read(file) for file in folder.glob("inspect-*.json")]
    return sorted(found, key=lambda told: int(told["trial"]))


def _read(file: Path) -> Told:
    try:
        told: Told = json.loads(read_small_file(file, 10**8))
        _check(told, told["trial"])
        if told.get("plain") is not None:
            _check(told["plain"], told["plain"]["trial"])
        return told
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{str(file)!r} must be as `vit-frontier inspect` wrote it, but: {error!r}. Remove it "
            "and inspect again."
        ) from None


def _check(told: Told, trial: Any) -> None:
    """Raises ValueError, KeyError or TypeError where a page could not be made of it."""
    blocks, size = told["blocks"], len(told["tokens"])
    square = [len(row) for row in told["maps"]] == [len(blocks)] * len(blocks)
    numbers = [*told["tokens"], *(cosine for row in told["maps"] for cosine in row)]
    numbers += [*told["before"], told["images"], told["alike"], *blocks, trial]
    if not square or len(told["before"]) != size or not set(told["similar"]) <= set(blocks):
        raise ValueError("its lists do not belong together")
    if not all(value is None or isinstance(value, (int, float)) for value in numbers):
        raise ValueError("it has texts where numbers belong")


def compared(told: Mapping[str, Any]) -> int:
    """How many blocks can be compared with the one before."""
    return sum(cosine is not None for cosine in told["before"])


def similar_text(told: Mapping[str, Any]) -> str:
    """How many blocks are similar: "2 of 5 blocks are similar to the one before"."""
    count, of = len(told["similar"]), compared(told)
    if not of:
        return "no block can be compared with the one before"
    verb = "is" if count == 1 else "are"
    return f"{count} of {counted(of, 'block')} {verb} similar to the one before"


def plain_text(run: Run, plain: Mapping[str, Any]) -> str:
    """Which plain network stands beside one, and how it was chosen."""
    if plain["trial"] is None:
        return (
            "The same network with plain attention, trained by the same recipe and seed for this "
            f"({percent(plain.get('accuracy'))})"
        )
    record = next((r for r in run.records if r.trial == plain["trial"]), None)
    if record is None:
        return f"Trial {plain['trial']}, plain"
    return (
        f"Trial {record.trial}, the plain network with weights that is nearest in FLOPs "
        f"({counted(record.architecture.depth, 'block')}, {scaled(record.flops)}FLOPs, "
        f"{percent(record.accuracy)})"
    )
