"""FLOPs and parameters of an architecture in closed form, in integer arithmetic, without torch."""

from __future__ import annotations

from itertools import chain

from space.architecture import Architecture
from space.variant import OURS


def count_flops(architecture: Architecture) -> int:
    """Multiply-accumulates of one forward pass on one image, as DeiT, HVT, DeepViT, timm's GMACs
    and fvcore count them.

    Equal to `measure_flops(build_model(architecture), ...)` to the last digit. About 5 us, the
    first time.
    """
    # Counted: convolutions, linear layers and matrix products, both attention products included.
    # Free: norms, softmax, activations, pooling and additions.
    flops: int | None = architecture.known.get("flops")
    if flops is None:
        flops = architecture.known["flops"] = _flops(architecture)
    return flops


def _flops(a: Architecture) -> int:
    total = a.stem.flops(a.image) + a.embed_dim * a.num_classes
    for place in a.walk():
        known = place.blocks.known
        if "flops" not in known:
            known["flops"] = sum(n * part.flops(seen) for part, n, seen in place.blocks.parts)
        total += place.times * known["flops"]
        for part, n, seen in place.then:
            total += n * part.flops(seen)
    return total


def count_params(architecture: Architecture) -> int:
    """Learned parameters (BatchNorm's running statistics are buffers), in closed form."""
    params: int | None = architecture.known.get("params")
    if params is None:
        params = architecture.known["params"] = _params(architecture)
    return params


def _params(a: Architecture) -> int:
    dim, start = a.embed_dim, a.start
    positions = start.dim * (a.positions + start.prefix)
    total = a.stem.params(a.image) + positions + a.num_classes * (dim + 1)
    if a.variant == OURS:
        total += 2 * dim
    else:
        widths = (
            (place.shape.dim // getattr(place.stage.attention, "num_heads", 1),) * place.stage.depth
            for place in a.walk()
        )
        total += a.variant.params(start.dim, dim, tuple(chain.from_iterable(widths)))
    for place in a.walk():
        known = place.blocks.known
        if "params" not in known:
            # one norm where tokens enter, one behind the attention, which may widen them
            norms = place.blocks.number * 2 * (place.shape.dim + place.blocks.out.dim)
            own = sum(n * part.params(seen) for part, n, seen in place.blocks.parts)
            known["params"] = norms + own
        total += place.times * known["params"]
        if place.stage.layer_scale:
            total += place.stage.depth * 2 * place.blocks.out.dim
        for part, n, seen in place.then:
            total += n * part.params(seen)
    return total
