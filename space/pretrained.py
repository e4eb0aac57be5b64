"""The search space that follows from a pretrained network: which of its blocks stay, where tokens
are pooled, which blocks mix their maps, and how many pixels an image has."""

from __future__ import annotations

from typing import Any

from space.architecture import Architecture
from space.checks import KEEP, MAX_NAME
from space.parts import Pool
from space.search_space import SearchSpace
from space.variant import OURS

MOST_POOLS = 2
FEWEST_BLOCKS = 4  # in how many parts a donor is cut, of which one at least stays


def space_of(
    donor: Architecture, *, name: str, img_size: int, in_chans: int, num_classes: int
) -> SearchSpace:
    """The space of networks that begin as `donor`, for images of that shape. Stem, width, heads and
    MLP are the donor's; image sizes are `img_size` and three quarters and half of it, rounded down
    to whole patches."""
    stage, stem = donor.stages[0], donor.stem
    patch = getattr(stem, "patch_size", 1)
    smaller = [img_size * quarters // 4 // patch * patch for quarters in (3, 2)]
    values: dict[str, Any] = {
        "name": name[-MAX_NAME:],
        "img_size": [img_size, *(size for size in smaller if size >= 2 * patch)],
        "patch_size": [patch],
        "in_chans": in_chans,
        "num_classes": num_classes,
        "embed_dim": [donor.embed_dim],
        "depth": list(range(-(-donor.depth // FEWEST_BLOCKS), donor.depth + 1)),
        "num_heads": [getattr(stage.attention, "num_heads", 1)],
        "mlp_ratio": [getattr(stage.mlp, "ratio", 4.0)],
        "head": [donor.head],
        "keep": list(KEEP),
        "donor_depth": donor.depth,
        "layer_scale": stage.layer_scale,
    }
    if donor.variant != OURS:
        values["variant"] = donor.variant.to_dict()
    if not donor.variant.qk_norm:  # Re-attention has no norms of queries and keys
        values["reattention"] = {"placement": ["none", "suffix"]}
    pools = min(_possible_pools((img_size // patch) ** 2), donor.depth)
    if pools:
        values["pooling"] = {"stages": list(range(pools + 1)), "op": ["max", "avg"]}
    return SearchSpace.from_dict(values)


def as_donor(a: Architecture) -> Architecture:
    """A network of ours as one that others begin as. Raises ValueError on a part that a donor's
    blocks do not have."""
    met = [("stem", a.stem.kind, "patch")]
    for stage in a.stages:
        local = "none" if stage.local is None else stage.local.kind
        met += [("attention", stage.attention.kind, "plain"), ("mlp", stage.mlp.kind, "mlp")]
        met += [("local", local, "none"), ("residual_scale", f"{stage.residual_scale:g}", "1")]
        met += [("then", part.kind, "none") for part in stage.then]
    for name, found, held in met:
        if found != held:
            raise ValueError(
                f"its `{name}` must be {held!r}, since others begin as plain blocks, but is "
                f"{found!r}: choose a trial of plain blocks."
            )
    return a.replace(donor_blocks=tuple(range(a.depth)))


def _possible_pools(tokens: int) -> int:
    """How many pools in a row leave tokens, at most `MOST_POOLS`."""
    pool, count = Pool(), 0
    while count < MOST_POOLS and pool.tokens_after(tokens) >= 1:
        tokens, count = pool.tokens_after(tokens), count + 1
    return count
