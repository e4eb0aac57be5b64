"""Attention collapse: how alike the attention maps and the tokens of a network's blocks are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

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


def heat_map(told: dict[str, Any], title: str) -> str:
    """The similarities of the maps as SVG."""
    import altair as alt
    import vl_convert

    rows = [
        {"block": p, "other": q, "cosine": cosine}
        for p, row in zip(told["blocks"], told["maps"], strict=True)
        for q, cosine in zip(told["blocks"], row, strict=True)
        if cosine is not None
    ]
    chart = (
        alt.Chart(alt.InlineData(rows), title=title)
        .mark_rect()
        .encode(
            x=alt.X("other:O", title="Block"),
            y=alt.Y("block:O", title="Block"),
            color=alt.Color(
                "cosine:Q",
                title="Cosine of maps",
                scale=alt.Scale(domain=[0, 1], clamp=True, scheme="viridis"),
            ),
        )
    )
    return vl_convert.vegalite_to_svg(chart.to_dict())
