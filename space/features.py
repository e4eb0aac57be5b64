"""What an accuracy may depend on, as numbers for the surrogate of the frontier sampler."""

from __future__ import annotations

import math
from collections.abc import Iterable

from space.architecture import Architecture
from space.flops import count_flops, count_params
from space.parts import KINDS, Part

FIRST = (KINDS["reattention"], KINDS["pool"])  # told by the numbers that every network has


def architecture_features(
    architecture: Architecture, kinds: Iterable[type[Part]] = ()
) -> list[float]:
    """Size, shape, where attention is mixed and tokens are pooled, then where each of `kinds` is.

    Places are relative to the depth, tokens are means over each third of the depth.
    """
    a, blocks, first = architecture, architecture.depth, architecture.stages[0]
    mixed, middle, scaled = 0, 0.0, False
    pools: list[tuple[int, Part]] = []
    thirds: list[int] = []
    wanted = (0, blocks // 3, 2 * blocks // 3)
    for stage, start, shape, _, _, then in a.walk():
        end = start + stage.depth
        while len(thirds) < 3 and wanted[len(thirds)] < end:
            thirds.append(shape.length)
        if stage.attention.kind == "reattention":
            mixed, middle = mixed + stage.depth, middle + (start + end - 1) / 2 * stage.depth
        scaled = scaled or getattr(stage.attention, "scale", False)
        pools += [(end, part) for part, _, _ in then if part.kind == "pool"]
    pool = pools[0][1] if pools else None
    return [
        float(blocks),
        math.log(a.embed_dim),
        math.log(getattr(first.attention, "num_heads", 1)),
        math.log(getattr(first.mlp, "ratio", 1)),
        math.log(getattr(a.stem, "patch_size", 1)),
        math.log(a.img_size),
        mixed / blocks,
        middle / mixed / blocks if mixed else 0.5,
        float(len(pools)),
        pools[0][0] / blocks if pools else 1.0,
        pools[-1][0] / blocks if pools else 1.0,
        float(getattr(pool, "kernel_size", 2)),
        float(getattr(pool, "stride", 2)),
        float(getattr(pool, "op", "max") == "avg"),
        *(math.log(count) for count in (*thirds, a.tokens_out)),
        float(a.head == "token"),
        float(a.stem.kind == "conv"),
        float(scaled),
        math.log(first.residual_scale),
        math.log(count_flops(a)),
        math.log(count_params(a)),
        *_of_donor(a),
        *(value for kind in kinds if kind not in FIRST for value in _of_kind(a, kind)),
    ]


def _of_donor(a: Architecture) -> list[float]:
    """How deep in a pretrained network the last block stands that was kept, and their middle."""
    if a.donor_blocks is None:
        return []
    return [float(a.donor_blocks[-1]), sum(a.donor_blocks) / a.depth]


def _of_kind(a: Architecture, kind: type[Part]) -> list[float]:
    """How much of a kind there is (of a stem 1), where, and what it says of itself in the mean over
    its places: as many numbers as its features have names."""
    if type(a.stem) is kind:
        return [1.0, 0.5, *(a.stem.features(a.image).get(name, 0.0) for name in kind.feature_names)]
    places: list[int] = []
    told: list[dict[str, float]] = []
    for place in a.walk():
        for part, count, shape in place.parts:
            if type(part) is kind:
                places += range(place.first, place.first + count)
                told.append(part.features(shape))
    middle = (sum(places) / len(places) + 0.5) / a.depth if places else 0.5
    names = kind.feature_names
    means = [sum(t.get(name, 0.0) for t in told) / len(told) if told else 0.0 for name in names]
    return [len(places) / a.depth, middle, *means]
