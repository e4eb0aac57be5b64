"""What one network is: `Architecture` and `Pool`, frozen and valid by construction.

No torch here: an architecture is plain data that travels as a JSON dict.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from space.rules import LIMITS, MAX_TOKENS, check_keys, nearest_multiple, show

Head = Literal["avg", "token"]
Stem = Literal["patch", "conv"]
PoolOp = Literal["max", "avg"]

STEM_CHANS = 64  # width of DeepViT's convolutional stem


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """HVT's token pooling after block `after`: `kernel_size`/`stride` over the tokens in raster
    order, no padding, then a new positional embedding (arXiv 2103.10619, section 3.2)."""

    after: int
    kernel_size: int = 3
    stride: int = 2
    op: PoolOp = "max"

    def __post_init__(self) -> None:
        _check_int("pool.after", self.after, 0, LIMITS["depth"] - 1)
        _check_int("pool.kernel_size", self.kernel_size, 1, MAX_TOKENS)
        _check_int("pool.stride", self.stride, 1, MAX_TOKENS)
        _check_choice("pool.op", self.op, get_args(PoolOp))

    def tokens_after(self, tokens: int) -> int:
        """Number of tokens that leave the pool when `tokens` enter it; below 1 if none do."""
        return (tokens - self.kernel_size) // self.stride + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A Vision Transformer that can be built. Field names are timm's where timm has one.

    `reattention`: indices of the blocks that mix their attention maps (DeepViT, equation 3).
    `pools`: at most one `Pool` a block; a class token (`head="token"`) is never pooled.
    `reattention_scale`: mixed maps times head_dim**-0.5 (DeepViT's transform_scale).
    `residual_scale`: r in `x + f(LN(r x)) / r` (DeepViT's scale_adjustment).
    Raises ValueError naming the rule, the values and the fix.
    """

    img_size: int
    patch_size: int
    in_chans: int = 3
    num_classes: int = 1000
    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float = 4.0
    reattention: tuple[int, ...] = ()
    pools: tuple[Pool, ...] = ()
    head: Head = "avg"
    stem: Stem = "patch"
    reattention_scale: bool = False
    residual_scale: float = 1.0

    def __post_init__(self) -> None:
        for name, limit in LIMITS.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= limit:
                _check_int(name, value, 1, limit)
        _check_number("mlp_ratio", self.mlp_ratio, 0.0, 64.0)
        _check_number("residual_scale", self.residual_scale, 0.0, 1e6)
        if self.head not in ("avg", "token"):
            _check_choice("head", self.head, get_args(Head))
        if self.stem not in ("patch", "conv"):
            _check_choice("stem", self.stem, get_args(Stem))
        if type(self.reattention_scale) is not bool:
            raise ValueError(
                "`reattention_scale` must be true or false, but got "
                f"{show(self.reattention_scale)}."
            )
        self._check_grid()
        object.__setattr__(self, "reattention", self._sorted_reattention())
        object.__setattr__(self, "pools", self._sorted_pools())

    def _check_grid(self) -> None:
        if self.embed_dim % self.num_heads:
            raise ValueError(
                f"`embed_dim` (={self.embed_dim}) must be divisible by `num_heads` "
                f"(={self.num_heads}): choose embed_dim "
                f"{nearest_multiple(self.embed_dim, self.num_heads)} or another number of heads."
            )
        if self.img_size % self.patch_size:
            raise ValueError(
                f"`img_size` (={self.img_size}) must be divisible by `patch_size` "
                f"(={self.patch_size}): choose img_size "
                f"{nearest_multiple(self.img_size, self.patch_size)} or another patch size."
            )
        if self.stem == "conv" and self.patch_size % 2:
            raise ValueError(
                f"`patch_size` (={self.patch_size}) must be even with `stem` 'conv', which halves "
                "the image first: choose an even patch size or stem 'patch'."
            )
        if self.mlp_hidden_dim < 1:
            raise ValueError(
                f"`embed_dim * mlp_ratio` (={self.embed_dim} * {self.mlp_ratio}) must be at "
                "least 1: choose a larger mlp_ratio."
            )
        if self.grid_tokens > MAX_TOKENS:
            raise ValueError(
                f"(img_size / patch_size)**2 (={self.grid_tokens} tokens) must be at most "
                f"{MAX_TOKENS}: choose a larger patch_size than {self.patch_size}."
            )

    def _sorted_reattention(self) -> tuple[int, ...]:
        blocks = self.reattention
        if not blocks and isinstance(blocks, (tuple, list)):
            return ()
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
        if not self.pools and isinstance(self.pools, (tuple, list)):
            return ()
        if not isinstance(self.pools, (tuple, list)) or not all(
            isinstance(pool, Pool) for pool in self.pools
        ):
            raise ValueError(f"`pools` must be a list of pools, but got {show(self.pools)}.")
        pools = tuple(sorted(self.pools, key=lambda pool: pool.after))
        tokens, last = self.grid_tokens, -1
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
            left, last = pool.tokens_after(tokens), pool.after
            if not 1 <= left < tokens:
                raise ValueError(
                    f"A pool must leave at least 1 and fewer tokens than enter it, but the pool "
                    f"after block {pool.after} (kernel_size={pool.kernel_size}, "
                    f"stride={pool.stride}) makes {max(left, 0)} of {tokens} tokens: use fewer "
                    "pools, a smaller kernel_size or a smaller patch_size."
                )
            tokens = left
        return pools

    @property
    def mlp_hidden_dim(self) -> int:
        """Width of the MLP's hidden layer, rounded down as timm does."""
        return int(self.embed_dim * self.mlp_ratio)

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.embed_dim // self.num_heads

    @property
    def grid_tokens(self) -> int:
        """Number of patches; without the class token."""
        return (self.img_size // self.patch_size) ** 2

    @property
    def token_counts(self) -> tuple[int, ...]:
        """Tokens that enter each block, the class token included."""
        after = {pool.after: pool for pool in self.pools}
        prefix, tokens, counts = int(self.head == "token"), self.grid_tokens, []
        for block in range(self.depth):
            counts.append(tokens + prefix)
            if block in after:
                tokens = after[block].tokens_after(tokens)
        return tuple(counts)

    @property
    def tokens_out(self) -> int:
        """Tokens that leave the last block and its pool, the class token included."""
        tokens = self.grid_tokens
        for pool in self.pools:
            tokens = pool.tokens_after(tokens)
        return tokens + int(self.head == "token")

    def replace(self, **changes: Any) -> Architecture:
        """A copy with `changes`, validated anew."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; `from_dict` gives the same architecture back."""
        return {
            name: getattr(self, name)
            if name not in ("pools", "reattention")
            else list(self.reattention)
            if name == "reattention"
            else [{field: getattr(pool, field) for field in _POOL_FIELDS} for pool in self.pools]
            for name in _ARCHITECTURE_FIELDS
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """The architecture of a plain dict. Raises ValueError on an unknown, missing or impossible
        value; nothing is converted: "12" is not 12."""
        check_keys("architecture", values, _ARCHITECTURE_FIELDS, _REQUIRED_FIELDS)
        pools = values.get("pools", ())
        if not isinstance(pools, (list, tuple)):
            raise ValueError(f"`pools` must be a list of pools, but got {show(pools)}.")
        return cls(**{**values, "pools": tuple(_pool_from_dict(pool) for pool in pools)})


_POOL_FIELDS = tuple(field.name for field in dataclasses.fields(Pool))
_ARCHITECTURE_FIELDS = tuple(field.name for field in dataclasses.fields(Architecture))
_REQUIRED_FIELDS = ("img_size", "patch_size", "embed_dim", "depth", "num_heads")


def _pool_from_dict(values: Any) -> Pool:
    if isinstance(values, Pool):
        return values
    check_keys("pool", values, _POOL_FIELDS, ("after",))
    return Pool(**values)


def _check_int(name: str, value: Any, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(
            f"`{name}` must be an integer from {low} to {high}, but got {show(value)}."
        )


def _check_number(name: str, value: Any, above: float, high: float) -> None:
    # The comparison is false for NaN, and a bool is no number here.
    if type(value) not in (int, float) or not above < value <= high or math.isinf(value):
        raise ValueError(
            f"`{name}` must be a number above {above:g} and at most {high:g}, "
            f"but got {show(value)}."
        )


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {list(choices)}, but got {show(value)}.")
