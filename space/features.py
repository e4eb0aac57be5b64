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
    a = architecture
    blocks, tokens, first = a.depth, a.token_counts, a.stages[0]
    mixed, pools = a.blocks_of("reattention"), [p for p in a.after_blocks() if p[1].kind == "pool"]
    thirds = (tokens[0], tokens[blocks // 3], tokens[2 * blocks // 3], a.tokens_out)
    pool = pools[0][1] if pools else None
    scales = [getattr(place.stage.attention, "scale", False) for place in a.walk()]
    return [
        float(blocks),
        math.log(a.embed_dim),
        math.log(getattr(first.attention, "num_heads", 1)),
        math.log(getattr(first.mlp, "ratio", 1)),
        math.log(getattr(a.stem, "patch_size", 1)),
        math.log(a.img_size),
        len(mixed) / blocks,
        sum(mixed) / len(mixed) / blocks if mixed else 0.5,
        float(len(pools)),
        (pools[0][0] + 1) / blocks if pools else 1.0,
        (pools[-1][0] + 1) / blocks if pools else 1.0,
        float(getattr(pool, "kernel_size", 2)),
        float(getattr(pool, "stride", 2)),
        float(getattr(pool, "op", "max") == "avg"),
        *(math.log(count) for count in thirds),
        float(a.head == "token"),
        float(a.stem.kind == "conv"),
        float(any(scales)),
        math.log(first.residual_scale),
        math.log(count_flops(a)),
        math.log(count_params(a)),
        *(value for kind in kinds if kind not in FIRST for value in _of_kind(a, kind)),
    ]


def _of_kind(a: Architecture, kind: type[Part]) -> list[float]:
    """How much of a kind there is, where, and what it says of itself, in the mean over its places.

    Always as many numbers as the kind has names for its features.
    """
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
