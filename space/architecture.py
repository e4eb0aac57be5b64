"""What one network is: an `Architecture` of stem, `Stage`s and head, valid by construction, plain
data without torch. `walk` is the only loop over its blocks; all else is a fold over it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Literal

from space.flat import COLUMN_FIELDS, Column
from space.parts import read_part, write_part
from space.parts.part import Part, Shape
from space.rules import LIMITS, check_fields, check_keys, field_names, integer, one_of, show
from space.stage import Place, Stage, block_keys, joined
from space.variant import OURS, Variant, read_variant

Head = Literal["avg", "token"]
HEADS = ("avg", "token")


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class Architecture:
    """A Vision Transformer that can be built: stem, stages and head, or the fields of
    `space.flat.Column`. Equal neighbours are joined: equal networks are equal values. Raises
    ValueError naming rule, values and fix."""

    # Flat: `Architecture(img_size=32, patch_size=4, embed_dim=64, depth=6, num_heads=4)`.

    img_size: Annotated[int, integer(1, LIMITS["img_size"])]
    in_chans: Annotated[int, integer(1, LIMITS["in_chans"])]
    num_classes: Annotated[int, integer(0, LIMITS["num_classes"])]  # 0: no head, but its features
    stem: Part
    stages: tuple[Stage, ...]
    head: Annotated[Head, one_of(*HEADS)]
    donor_blocks: tuple[int, ...] | None  # of a pretrained network, which each block begins as
    variant: Variant  # options that it has from that network
    _places: tuple[Place, ...] = field(init=False, repr=False, compare=False)
    known: dict[str, Any] = field(init=False, repr=False, compare=False)  # what was counted once

    def __init__(
        self,
        *,
        img_size: int,
        in_chans: int = 3,
        num_classes: int = 1000,
        stem: Part | str = "patch",
        stages: tuple[Stage, ...] | None = None,
        head: Head = "avg",
        donor_blocks: tuple[int, ...] | None = None,
        variant: Variant | Mapping[str, Any] = OURS,
        **column: Any,
    ) -> None:
        fill = object.__setattr__
        fill(self, "img_size", img_size)
        fill(self, "in_chans", in_chans)
        fill(self, "num_classes", num_classes)
        fill(self, "head", head)
        fill(self, "donor_blocks", donor_blocks)
        fill(self, "variant", read_variant(variant))
        if stages is None:
            flat = Column(**{"stem": stem, **column})
            check_fields(self)
            fill(self, "stem", flat.stem_part())
            fill(self, "stages", joined(Stage(**stage) for stage in flat.stages(img_size, head)))
        else:
            if column:
                raise ValueError(
                    f"`stages` take the place of {', '.join(f'`{name}`' for name in column)}: "
                    "write either stages or the fields of a column of equal blocks."
                )
            check_fields(self)
            fill(self, "stem", stem)
            fill(self, "stages", joined(stages))
        fill(self, "_places", self._walked())
        fill(self, "known", {})
        if donor_blocks is not None:
            fill(self, "donor_blocks", _checked_donor_blocks(donor_blocks, self.depth))

    def _walked(self) -> tuple[Place, ...]:
        prefix = self.variant.prefix(self.head)
        shape = behind_stem(self.stem, self.img_size, self.in_chans, prefix)
        places, first, masked = [], 0, False
        for stage in self.stages:
            if self.variant is not OURS:
                self.variant.check(stage.attention, stage.mlp)
            place = stage.at(shape, first)
            places.append(place)
            if masked or stage.attention.masks or any(part.masks for part in stage.then):
                masked = _check_masked(stage, masked)
            first, shape = first + stage.depth, place.out
        if first > LIMITS["depth"] or not places:
            raise ValueError(
                f"`stages` must have from 1 to {LIMITS['depth']} blocks, but have {first}."
            )
        return tuple(places)

    def walk(self) -> Iterator[Place]:
        """Every stage with the shapes that enter and leave it."""
        return iter(self._places)

    @property
    def image(self) -> Shape:
        """The shape of an image."""
        return Shape((self.img_size, self.img_size), self.img_size**2, 0, self.in_chans)

    @property
    def start(self) -> Shape:
        """The shape that enters the first block."""
        return self._places[0].shape

    @property
    def positions(self) -> int:
        """How many tokens have a positional embedding behind the stem."""
        if not getattr(self.stem, "positions", True):
            return 0
        return self.start.length if self.stem.places_prefix else self.start.tokens

    @property
    def out(self) -> Shape:
        """The shape that enters the head."""
        return self._places[-1].out

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return self._places[-1].first + self._places[-1].stage.depth

    @property
    def embed_dim(self) -> int:
        """Width of the tokens that enter the head."""
        return self._places[-1].out.dim

    @property
    def grid_tokens(self) -> int:
        """Tokens behind the stem; without the class token."""
        return self.start.tokens

    @property
    def token_counts(self) -> tuple[int, ...]:
        """Tokens that enter each block, the class token included."""
        return tuple(p.shape.length for p in self._places for _ in range(p.stage.depth))

    @property
    def tokens_out(self) -> int:
        """Tokens that leave the last block and what is done after it, the class token included."""
        return self.out.length

    def blocks_of(self, kind: str) -> tuple[int, ...]:
        """Indices of the blocks that have a part of that kind."""
        return tuple(
            block
            for place in self._places
            for block in range(place.first, place.first + place.stage.depth)
            if any(
                part is not None and part.kind == kind
                for part in (place.stage.attention, place.stage.mlp, place.stage.local)
            )
        )

    def after_blocks(self) -> Iterator[tuple[int, Part, Shape]]:
        """What is done after blocks: (index of the block before it, part, the shape it sees)."""
        for place in self._places:
            last = place.first + place.stage.depth - 1
            yield from ((last, part, shape) for part, _, shape in place.then)

    def key(self) -> tuple[Any, ...]:
        """A hashable identity of the network, equal for two spellings of one: mlp_ratio 4 and 4.0,
        the stride of a pool that leaves one token."""
        if "key" not in self.known:
            self.known["key"] = self._key()
        key: tuple[Any, ...] = self.known["key"]
        return key

    def _key(self) -> tuple[Any, ...]:
        a = self
        stages: list[list[Any]] = []
        for place in self._places:
            keys = place.blocks.known.get("keys")
            if keys is None:
                keys = place.blocks.known["keys"] = block_keys(place)
            for key in keys:
                block: tuple[Any, ...] = (key, float(place.stage.residual_scale))
                block += (True,) if place.stage.layer_scale else ()
                if stages and stages[-1][1] == block and not stages[-1][2]:
                    stages[-1][0] += place.times
                else:
                    stages.append([place.times, block, ()])
            if place.then:
                stages[-1][2] = tuple(part.key(seen) for part, _, seen in place.then)
        image = (a.img_size, a.in_chans, a.num_classes, a.head, a.stem.key(a.image))
        donor: tuple[Any, ...] = () if a.donor_blocks is None else (a.donor_blocks,)
        donor += () if a.variant == OURS else (a.variant,)
        return (*image, *donor, *map(tuple, stages))

    def replace(self, **changes: Any) -> Architecture:
        """A copy with `changes`, validated anew; of a column of equal blocks also its fields."""
        image = ("img_size", "in_chans", "num_classes", "head", "donor_blocks", "variant")
        own = (*image, "stem", "stages")
        if all(name in own for name in changes) and not isinstance(changes.get("stem"), str):
            return dataclasses.replace(self, **changes)
        column = Column.of(self)
        if column is None or any(stage.layer_scale for stage in self.stages):
            raise ValueError(
                f"Only a column of equal blocks has {', '.join(f'`{name}`' for name in changes)} "
                "to replace: give `stages` instead."
            )
        kept = {name: getattr(self, name) for name in image}
        fields = {name: getattr(column, name) for name in field_names(Column)}
        return Architecture(**{**kept, **fields, **changes})

    def __getattr__(self, name: str) -> Any:
        """The fields of a column of equal blocks, where the network is one."""
        column = Column.of(self) if name in COLUMN_FIELDS else None
        if column is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(column, name)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; `from_dict` gives the same architecture back."""
        donor: dict[str, Any] = {}
        if self.donor_blocks is not None:
            donor["donor_blocks"] = list(self.donor_blocks)
        if self.variant != OURS:
            donor["variant"] = self.variant.to_dict()
        return {
            "img_size": self.img_size,
            "in_chans": self.in_chans,
            "num_classes": self.num_classes,
            "stem": write_part(self.stem),
            "stages": [stage.to_dict() for stage in self.stages],
            "head": self.head,
            **donor,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """The architecture of a plain dict, of stages or flat. Raises ValueError on an unknown,
        missing or impossible value; nothing is converted: "12" is not 12."""
        if not isinstance(values, Mapping) or "stages" not in values:
            return cls(**Column.checked(values))
        check_keys("architecture", values, field_names(cls), ("img_size", "stem", "stages"))
        stages = values["stages"]
        if not isinstance(stages, (list, tuple)):
            raise ValueError(f"`stages` must be a list of stages, but got {show(stages)}.")
        stem = read_part("stem", values["stem"])
        return cls(**{**values, "stem": stem, "stages": tuple(map(Stage.from_dict, stages))})


def _checked_donor_blocks(blocks: Any, depth: int) -> tuple[int, ...]:
    """The donor's blocks as a tuple. Raises ValueError unless they are `depth` rising indices."""
    indices = tuple(blocks) if isinstance(blocks, (list, tuple)) else ()
    whole = all(type(index) is int and 0 <= index < LIMITS["depth"] for index in indices)
    if not whole or len(indices) != depth or list(indices) != sorted(set(indices)):
        raise ValueError(
            f"`donor_blocks` must be a rising index from 0 to {LIMITS['depth'] - 1} for each of "
            f"{depth} blocks, but got {show(blocks)}."
        )
    return indices


def _check_masked(stage: Stage, masked: bool) -> bool:
    """Whether tokens are masked in training behind the stage; `masked`: before it. Raises
    ValueError if a part cannot leave out the tokens that are."""
    parts = ((True, stage.attention), *((False, part) for part in stage.then))
    for is_attention, part in parts:
        if masked and not part.takes_mask:
            where = "Attention" if is_attention else "What is done to tokens"
            raise ValueError(
                f"{where} behind a part that masks tokens in training must be able to leave tokens "
                f"out, but {part.kind} is not: put it before, or use another kind."
            )
        masked = masked or part.masks
    return masked


@lru_cache(maxsize=4096)
def behind_stem(stem: Part, img_size: int, in_chans: int, prefix: int) -> Shape:
    """The shape that enters the first block. Raises ValueError."""
    shape = stem.after(Shape((img_size, img_size), img_size * img_size, 0, in_chans))
    return Shape(shape.grid, shape.tokens, shape.prefix + prefix, shape.dim)
