"""The flat spelling of a network: a column of equal blocks. Read for ever."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from space import parts
from space.rules import (
    LIMITS,
    MAX_TOKENS,
    check_fields,
    check_keys,
    field_names,
    flag,
    from_dict,
    integer,
    number,
    one_of,
    show,
    to_dict,
)
from space.variant import OURS

if TYPE_CHECKING:
    from space.architecture import Architecture
    from space.parts.part import Part

STEMS = ("patch", "conv")
POOL_OPS = ("max", "avg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """HVT's pooling after block `after`, see `space.parts.Pool`."""

    after: Annotated[int, integer(0, LIMITS["depth"] - 1)]
    kernel_size: Annotated[int, integer(1, MAX_TOKENS)] = 3
    stride: Annotated[int, integer(1, MAX_TOKENS)] = 2
    op: Annotated[str, one_of(*POOL_OPS)] = "max"

    def __post_init__(self) -> None:
        try:
            check_fields(self)
        except ValueError as error:
            raise ValueError(str(error).replace("`", "`pool.", 1)) from None

    def part(self) -> parts.Pool:
        """What it does, apart from its place."""
        return parts.Pool(kernel_size=self.kernel_size, stride=self.stride, op=self.op)

    def tokens_after(self, tokens: int) -> int:
        """Number of tokens that leave the pool when `tokens` enter it; below 1 if none do."""
        return (tokens - self.kernel_size) // self.stride + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Equal blocks in a column, with timm's names where timm has one. Raises ValueError naming the
    rule, the values and the fix."""

    # `reattention`: indices of the blocks that mix their attention maps (DeepViT, equation 3).
    # `pools`: at most one `Pool` a block; a class token (`head="token"`) is never pooled.
    # `reattention_scale`: mixed maps times head_dim**-0.5 (DeepViT's transform_scale).
    # `residual_scale`: r in `x + f(LN(r x)) / r` (DeepViT's scale_adjustment).

    patch_size: Annotated[int, integer(1, LIMITS["patch_size"])]
    embed_dim: Annotated[int, integer(1, LIMITS["embed_dim"])]
    depth: Annotated[int, integer(1, LIMITS["depth"])]
    num_heads: Annotated[int, integer(1, LIMITS["num_heads"])]
    mlp_ratio: Annotated[float, number(above=0.0, high=64.0)] = 4.0
    reattention: tuple[int, ...] = ()
    pools: tuple[Pool, ...] = ()
    stem: Annotated[str, one_of(*STEMS)] = "patch"
    reattention_scale: Annotated[bool, flag()] = False
    residual_scale: Annotated[float, number(above=0.0, high=1e6)] = 1.0

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "reattention", self._sorted_reattention())
        object.__setattr__(self, "pools", self._sorted_pools())

    def _sorted_reattention(self) -> tuple[int, ...]:
        blocks: Any = self.reattention
        if isinstance(blocks, (str, bytes)) or not isinstance(blocks, Iterable):
            raise ValueError(
                f"`reattention` must be a list of block indices, but got {show(blocks)}: "
                "write [] for none."
            )
        indices = tuple(blocks)
        for index in indices:
            if type(index) is not int or not 0 <= index < self.depth:
                raise ValueError(
                    f"`reattention` must hold block indices from 0 to {self.depth - 1} "
                    f"(`depth` is {self.depth}), but got {show(index)}."
                )
        if len(set(indices)) != len(indices):
            raise ValueError(f"`reattention` must name each block once, but got {show(blocks)}.")
        return tuple(sorted(indices))

    def _sorted_pools(self) -> tuple[Pool, ...]:
        if not isinstance(self.pools, (tuple, list)) or not all(
            isinstance(pool, Pool) for pool in self.pools
        ):
            raise ValueError(f"`pools` must be a list of pools, but got {show(self.pools)}.")
        pools = tuple(sorted(self.pools, key=lambda pool: pool.after))
        last = -1
        for pool in pools:
            if pool.after >= self.depth:
                raise ValueError(
                    f"`pool.after` must be a block index from 0 to {self.depth - 1} "
                    f"(`depth` is {self.depth}), but got {pool.after}."
                )
            if pool.after == last:
                raise ValueError(
                    f"`pools` must have at most one pool after a block, but block {last} has two."
                )
            last = pool.after
        return pools

    def stem_part(self) -> Part:
        """The stem."""
        kind: Any = parts.KINDS[self.stem]
        stem: Part = kind(patch_size=self.patch_size, dim=self.embed_dim)
        return stem

    def stages(self, img_size: int, head: str) -> Iterator[dict[str, Any]]:
        """The fields of one stage for each block."""
        plain = parts.Plain(num_heads=self.num_heads)
        mixing = parts.ReAttention(num_heads=self.num_heads, scale=self.reattention_scale)
        mlp, after = parts.Mlp(ratio=self.mlp_ratio), {pool.after: pool for pool in self.pools}
        for block in range(self.depth):
            yield {
                "depth": 1,
                "attention": mixing if block in self.reattention else plain,
                "mlp": mlp,
                "residual_scale": self.residual_scale,
                "then": (after[block].part(),) if block in after else (),
            }

    @classmethod
    def checked(cls, values: Any) -> dict[str, Any]:
        """The fields of an architecture in the flat spelling, of plain JSON. Raises ValueError."""
        check_keys("architecture", values, FLAT_FIELDS, REQUIRED)
        pools = values.get("pools", ())
        if not isinstance(pools, (list, tuple)):
            raise ValueError(f"`pools` must be a list of pools, but got {show(pools)}.")
        read = tuple(p if isinstance(p, Pool) else from_dict(Pool, "pool", p) for p in pools)
        return {**values, "pools": read}

    @classmethod
    def of(cls, architecture: Architecture) -> Column | None:
        """The column that a network is; None if its blocks differ in more than Re-attention, or
        something else than pools stands between them. Their layer scale is not looked at."""
        a, first = architecture, architecture.stages[0]
        heads = getattr(first.attention, "num_heads", None)
        scale, reattention, pools = False, list[int](), list[Pool]()
        for place in a.walk():
            stage = place.stage
            attention = type(stage.attention)
            if attention is parts.ReAttention:
                scales = getattr(stage.attention, "scale", False)
                if reattention and scales != scale:
                    return None
                scale = scales
                reattention += range(place.first, place.first + stage.depth)
            elif attention is not parts.Plain:
                return None
            same = (getattr(stage.attention, "num_heads", None), stage.residual_scale, stage.mlp)
            if same != (heads, first.residual_scale, first.mlp) or stage.local is not None:
                return None
            if len(stage.then) > 1 or any(type(part) is not parts.Pool for part in stage.then):
                return None
            for part in stage.then:
                pools.append(Pool(after=place.first + stage.depth - 1, **to_dict(part)))
        if type(a.stem) not in (parts.Patch, parts.Conv) or type(first.mlp) is not parts.Mlp:
            return None
        return cls(
            patch_size=getattr(a.stem, "patch_size", 1),
            embed_dim=getattr(a.stem, "dim", 1),
            depth=a.depth,
            num_heads=heads or 1,
            mlp_ratio=getattr(first.mlp, "ratio", 1.0),
            reattention=tuple(reattention),
            pools=tuple(pools),
            stem=a.stem.kind,
            reattention_scale=scale,
            residual_scale=first.residual_scale,
        )


COLUMN_FIELDS = frozenset(field_names(Column)) - {"stem", "depth", "embed_dim"}
FLAT_FIELDS = (
    *("img_size", "patch_size", "in_chans", "num_classes", "embed_dim", "depth", "num_heads"),
    *("mlp_ratio", "reattention", "pools", "head", "stem", "reattention_scale", "residual_scale"),
)
REQUIRED = ("img_size", "patch_size", "embed_dim", "depth", "num_heads")


def flat_dict(architecture: Architecture) -> dict[str, Any] | None:
    """Plain JSON of a network in the flat spelling; None if it is no column of equal blocks. What
    it begins as is left out."""
    column = Column.of(architecture)
    if column is None:
        return None
    values: Mapping[str, Any] = to_dict(column) | {
        "pools": [to_dict(pool) for pool in column.pools],
        **{name: getattr(architecture, name) for name in ("img_size", "in_chans", "num_classes")},
        "head": architecture.head,
    }
    return {name: values[name] for name in FLAT_FIELDS}


def short_dict(architecture: Architecture) -> dict[str, Any]:
    """Plain JSON of a network: the flat spelling where that says all of it."""
    a = architecture
    says_less = a.donor_blocks is not None or a.variant != OURS
    says_less = says_less or any(stage.layer_scale for stage in a.stages)
    return (None if says_less else flat_dict(a)) or a.to_dict()
