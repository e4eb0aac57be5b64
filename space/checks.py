"""What the grid of a search space may be: the rule of each choice, and of choices together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from space.choosing import PER_BLOCK
from space.counting import narrowest
from space.parts import Plain
from space.parts.part import Shapes
from space.rules import LIMITS, Rule, flag, integer, number, one_of, text

if TYPE_CHECKING:
    from space.placements import Placement
    from space.search_space import SearchSpace

MAX_NAME = 200
MAX_SHAPES = 4096
GRID = tuple(
    """img_size patch_size stem stem_width embed_dim depth head_dim num_heads mlp_ratio head
    residual_scale keep""".split()
)
FIELDS = (
    *("name", "in_chans", "num_classes", "donor_depth", "layer_scale", "variant", "per_block"),
    *GRID,
)
KEEP = ("evenly", "first")
RULES: dict[str, Rule] = {
    **{
        name: integer(1, LIMITS[name])
        for name in ("img_size", "patch_size", "embed_dim", "depth", "num_heads")
    },
    "head_dim": integer(1, LIMITS["embed_dim"]),
    "mlp_ratio": number(above=0.0, high=64.0),
    "residual_scale": number(above=0.0, high=1e6),
    "head": one_of("avg", "token"),
    "stem": one_of("patch", "conv", "tokenizer", "overlap", "rvt", "strided"),
    "stem_width": integer(1, LIMITS["embed_dim"]),
    "keep": one_of(*KEEP),
    "per_block": one_of(*PER_BLOCK),
}

_NEEDED = {  # what a stem asks of patch size and image
    "tokenizer": "a patch_size of 2 or 4",
    "overlap": "two patches in a row",
    "rvt": "a patch_size of 4, 8 or another multiple of 4",
    "strided": "a patch_size of 2, 4, 8 or another power of 2",
}


def check_name(name: object) -> None:
    """Raises ValueError unless it is a short text."""
    text(MAX_NAME).check("name", name)


def check_shapes(space: SearchSpace) -> None:
    """Every combination of these is looked at, so they are limited before that is begun."""
    grid = (space.img_size, space.patch_size, space.stem, space.stem_width or (0,), space.head)
    count = math.prod(map(len, grid))
    for placement in space.placements:
        count *= math.prod(map(len, placement.spread.values())) * len(
            getattr(placement, "stages", (0,))
        )
    if count > MAX_SHAPES:
        tables = " and ".join(
            f"[{p.table}]" for p in space.placements if hasattr(p, "stages") and not p.is_off()
        )
        raise ValueError(
            f"`img_size`, `patch_size`, `stem`, `head` and the choices of {tables or '[pooling]'} "
            f"must have at most {MAX_SHAPES} combinations, but have {count}: give fewer choices."
        )


def check_donor(space: SearchSpace) -> None:
    """Raises ValueError unless `keep` and `donor_depth` go together, and no network is deeper than
    the donor."""
    flag().check("layer_scale", space.layer_scale)
    if (space.keep is None) != (space.donor_depth is None):
        raise ValueError("A search space needs `keep` and `donor_depth` both, or none of them.")
    if space.donor_depth is not None:
        rule = integer(max(space.depth), LIMITS["depth"])
        rule.check("donor_depth", space.donor_depth, fix="remove the depths above it")


def check_per_block(space: SearchSpace) -> None:
    """Raises ValueError where blocks of one level could not be told apart from others by it."""
    if "num_heads" in (space.per_block or ()) and space.num_heads is None:
        raise ValueError(
            "`per_block` has num_heads, but the space gives `head_dim`: give `num_heads` instead."
        )
    wider = next((p for p in space.placements if p.kind.widens and not p.is_off()), None)
    if space.per_block and wider is not None:
        raise ValueError(
            f"`per_block` (={list(space.per_block)}) cannot stand beside [{wider.table}], where "
            "heads follow the width: remove one of them."
        )


def check_divisible(space: SearchSpace) -> None:
    """Raises ValueError unless every width divides by every head, and not into too many."""
    if (space.head_dim is None) == (space.num_heads is None):
        raise ValueError("A search space needs one of `head_dim` and `num_heads`, not both.")
    for dim in space.embed_dim:
        least = min(space.head_dim or (1,))
        most = max(space.num_heads or (dim // least,))
        if most > LIMITS["num_heads"]:
            raise ValueError(
                f"`num_heads` must be at most {LIMITS['num_heads']}, but embed_dim {dim} by "
                f"head_dim {least} makes {most}: use a larger head_dim."
            )
        for name, heads in (("head_dim", space.head_dim), ("num_heads", space.num_heads)):
            bad = next((value for value in heads or () if dim % value), None)
            if bad is not None and not _is_apart(space, dim, dim // bad if space.head_dim else bad):
                raise ValueError(
                    f"Every `embed_dim` must be divisible by every `{name}`, but {dim} is not "
                    f"divisible by {bad}: remove one of them."
                )


def _is_apart(space: SearchSpace, dim: int, num_heads: int) -> bool:
    """Whether all blocks have an attention whose heads need not divide the width."""
    forced = [p for p in space.placements if getattr(p, "places", ()) == ("all",)]
    for placement in forced:
        if getattr(placement, "role", "") == "attention":
            shape = space.starts[0]._replace(dim=dim)
            choices = {name: values[0] for name, values in placement.spread.items()}
            try:
                placement.kind.placed(choices, Plain(num_heads=num_heads), Shapes(shape, 0)).after(
                    shape
                )
            except ValueError:
                return False
            return True
    return False


def check_order(space: SearchSpace) -> None:
    """Raises ValueError where a kind that always needs the grid may stand behind one that loses it:
    its genes would then make a network without it."""
    on = [p for p in space.placements if hasattr(p, "stages") and not p.is_off()]
    losing = [placement for placement in on if not placement.kind.needs_grid]
    for placement in on:
        if losing and placement.kind.needs_grid and placement.off() is None:
            raise ValueError(
                f"`{placement.table}.stages` must have 0 beside [{losing[0].table}], which may "
                "lose the grid before it: add 0 or remove one of the tables."
            )


def check_stems(space: SearchSpace) -> None:
    """Raises ValueError unless every kind of stem goes with a patch size."""
    if space.stem_width is not None and "tokenizer" not in space.stem:
        raise ValueError(
            "`stem_width` is of stem 'tokenizer', which is not among `stem` "
            f"{list(space.stem)}: add it or remove `stem_width`."
        )
    for stem, need in _NEEDED.items():
        if stem in space.stem and not any(s == stem for _, _, s, _ in space.grids):
            raise ValueError(
                f"`stem` {stem!r} needs {need} that divides the image, but `patch_size` is "
                f"{list(space.patch_size)} and `img_size` {list(space.img_size)}: remove the stem "
                "or add a patch size."
            )


def check_sizes(space: SearchSpace) -> None:
    """Raises ValueError unless every image size and every patch size goes with another."""
    for patch in space.patch_size:
        if not any(p == patch for _, p, _, _ in space.grids):
            raise ValueError(
                f"`img_size` must be divisible by `patch_size`, but none of "
                f"{list(space.img_size)} is divisible by {patch}"
                + (" with an even patch for stem 'conv'" if space.stem == ("conv",) else "")
                + ": remove it."
            )
    for img in space.img_size:
        if not any(i == img for i, _, _, _ in space.grids):
            patch = max(space.patch_size)
            raise ValueError(
                f"`img_size` (={img}) must be divisible by a `patch_size` of the space, one of "
                f"{list(space.patch_size)}: choose img_size "
                f"{max(round(img / patch), 1) * patch} or add a patch size."
            )


def check_placements(space: SearchSpace) -> None:
    """Raises ValueError on impossible numbers, and on choices of placements that no network can
    use."""
    for draft in narrowest(space, min(space.depth)):
        draft.architecture()
    for placement in space.placements:
        placement.check(space.named_starts())
    for placement in space.in_turn:
        if placement.off() is None and not getattr(placement, "anywhere", True):
            _check_forced(space, placement)


def _check_forced(space: SearchSpace, placement: Placement) -> None:
    """Raises ValueError unless a kind that every network has can stand in each, and beside what
    else every network has."""
    without = {gene: value for off in space.offs for gene, value in off.items()}
    for depth in (min(space.depth), max(space.depth)):
        for draft in narrowest(space, depth):
            try:
                for full in placement.least(draft):
                    full.architecture()
                space.placed(without, draft)
            except ValueError as error:
                raise ValueError(
                    f"Every network of the space has a part of [{placement.table}], but it "
                    f'cannot stand in each: {error} Or add "none" to its `placement`.'
                ) from None
