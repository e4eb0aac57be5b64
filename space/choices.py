"""`Choices`: what a search space lets a network choose from, checked, and its TOML files."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from space.architecture import Architecture, Head, Pool, PoolOp, Stem
from space.checks import PLAIN_FIELDS, REQUIRED, TABLES, check_range, checked_choices
from space.files import read_toml
from space.identity import possible_stages
from space.rules import LIMITS, check_keys, did_you_mean, show

_BUILT_IN = Path(__file__).parent / "spaces"
MAX_NAME = 200
MAX_SHAPES = 4096
SHAPE_FIELDS = tuple(
    """img_size patch_size stem head pool_stages pool_kernel_size pool_stride pool_op""".split()
)
BUILT_IN_SPACES = ("digits", "cifar", "hvt_deit_tiny", "hvt_deit_small", "deepvit")


@dataclass(frozen=True, kw_only=True)  # no slots: cached properties
class Choices:
    """The choices for every field of an architecture.

    Give either `head_dim` or `num_heads`. `reattention`: where mixing blocks may be: `none`, `all`,
    `suffix` (the last k blocks), `free` (any subset). `pool_stages`: how many pools;
    `pool_after`: the blocks that may be pooled, `None` for any; kernel, stride and operation are
    one for all pools of a network. Raises ValueError on a choice that no network can use.
    """

    img_size: tuple[int, ...]
    patch_size: tuple[int, ...]
    embed_dim: tuple[int, ...]
    depth: tuple[int, ...]
    in_chans: int = 3
    num_classes: int = 1000
    head_dim: tuple[int, ...] | None = None
    num_heads: tuple[int, ...] | None = None
    mlp_ratio: tuple[float, ...] = (4.0,)
    head: tuple[Head, ...] = ("avg",)
    stem: tuple[Stem, ...] = ("patch",)
    residual_scale: tuple[float, ...] = (1.0,)
    reattention: tuple[str, ...] = ("none",)
    reattention_scale: tuple[bool, ...] = (False,)
    pool_stages: tuple[int, ...] = (0,)
    pool_after: tuple[int, ...] | None = None
    pool_kernel_size: tuple[int, ...] = (3,)
    pool_stride: tuple[int, ...] = (2,)
    pool_op: tuple[PoolOp, ...] = ("max",)
    name: str = "custom"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            choices = getattr(self, field.name)
            is_off = choices is None and field.name in ("head_dim", "num_heads", "pool_after")
            if not is_off and field.name not in ("name", "in_chans", "num_classes"):
                object.__setattr__(self, field.name, checked_choices(field.name, choices))
        if not isinstance(self.name, str) or len(self.name) > MAX_NAME:
            raise ValueError(
                f"`name` must be a text of at most {MAX_NAME} characters, but got "
                f"{show(self.name)}."
            )
        self._check_shapes()
        for name in ("in_chans", "num_classes"):
            check_range(name, getattr(self, name), 1, LIMITS[name])
        if (self.head_dim is None) == (self.num_heads is None):
            raise ValueError("A search space needs one of `head_dim` and `num_heads`, not both.")
        for dim in self.embed_dim:
            most = max(self._heads(dim), default=1)
            if most > LIMITS["num_heads"]:
                raise ValueError(
                    f"`num_heads` must be at most {LIMITS['num_heads']}, but embed_dim {dim} by "
                    f"head_dim {min(self.head_dim or (1,))} makes {most}: use a larger head_dim."
                )
            for name, heads in (("head_dim", self.head_dim), ("num_heads", self.num_heads)):
                bad = next((value for value in heads or () if dim % value), None)
                if bad is not None:
                    raise ValueError(
                        f"Every `embed_dim` must be divisible by every `{name}`, but {dim} is not "
                        f"divisible by {bad}: remove one of them."
                    )
        self._check_grids()
        self._check_pools()

    def _check_shapes(self) -> None:
        """Every combination of these is looked at, so they are limited before that is begun."""
        count = math.prod(len(getattr(self, field)) for field in SHAPE_FIELDS)
        if count > MAX_SHAPES:
            raise ValueError(
                f"`img_size`, `patch_size`, `stem`, `head` and the choices of [pooling] must have "
                f"at most {MAX_SHAPES} combinations, but have {count}: give fewer choices."
            )

    def _check_grids(self) -> None:
        for patch in self.patch_size:
            if not any(p == patch for _, p, _ in self._grids):
                raise ValueError(
                    f"`img_size` must be divisible by `patch_size`, but none of "
                    f"{list(self.img_size)} is divisible by {patch}"
                    + (" with an even patch for stem 'conv'" if self.stem == ("conv",) else "")
                    + ": remove it."
                )
        for img in self.img_size:
            if not any(i == img for i, _, _ in self._grids):
                patch = max(self.patch_size)
                raise ValueError(
                    f"`img_size` (={img}) must be divisible by a `patch_size` of the space, one of "
                    f"{list(self.patch_size)}: choose img_size "
                    f"{max(round(img / patch), 1) * patch} or add a patch size."
                )
        for grid, head in itertools.product(self._grids, self.head):
            self._least_network(grid, head, min(self.depth), ())  # raises on impossible numbers

    def _check_pools(self) -> None:
        fewest, most = min(self.pool_stages), max(self.pool_stages)
        positions = {depth: len(self._pool_positions[depth]) for depth in self.depth}
        for depth, count in positions.items():
            if count < fewest:
                raise ValueError(
                    f"`pooling.stages` asks for at least {fewest} pools, but {depth} blocks have "
                    f"{count} places for one: add 0 to the stages or remove depth {depth}."
                )
        if most > max(positions.values()):
            raise ValueError(
                f"`pooling.stages` (={most}) must be at most the {max(positions.values())} places "
                "for a pool in the deepest network."
            )
        reach = {
            (kernel, stride, img, patch): possible_stages((img // patch) ** 2, kernel, stride, most)
            for kernel, stride in itertools.product(self.pool_kernel_size, self.pool_stride)
            for img, patch, _ in self._grids
        }
        unusable = [
            shape
            for shape, stages in reach.items()
            if stages < fewest or self._is_useless(shape, reach)
        ]
        if most and unusable:
            kernel, stride, img, patch = unusable[0]
            raise ValueError(
                f"A pool must leave at least 1 and fewer tokens than enter it, but "
                f"kernel_size={kernel}, stride={stride} allow {reach[unusable[0]]} pools on the "
                f"{(img // patch) ** 2} tokens of img_size={img}, patch_size={patch}: use a "
                "smaller kernel_size or patch_size, or fewer stages."
            )
        if self._most_stages < most:
            raise ValueError(
                f"`pooling.stages` (={most}) must leave at least 1 token, but {self._most_stages} "
                "pools is the most that any patch_size and kernel_size allow: lower it."
            )

    def _is_useless(
        self, shape: tuple[int, int, int, int], reach: dict[tuple[int, int, int, int], int]
    ) -> bool:
        """Whether the shape's kernel size, or its stride, allows no pool anywhere."""
        return any(
            not any(stages for other, stages in reach.items() if other[i] == shape[i])
            for i in (0, 1)
        )

    @cached_property
    def _most_stages(self) -> int:
        shapes = itertools.product(self._grids, self.pool_kernel_size, self.pool_stride)
        most = max(self.pool_stages)
        return max(possible_stages((g[0] // g[1]) ** 2, k, s, most) for g, k, s in shapes)

    @cached_property
    def _grids(self) -> tuple[tuple[int, int, Stem], ...]:
        """(img_size, patch_size, stem) that go together."""
        return tuple(
            (img, patch, stem)
            for img, patch, stem in itertools.product(self.img_size, self.patch_size, self.stem)
            if img % patch == 0 and (stem == "patch" or patch % 2 == 0)
        )

    @cached_property
    def _pool_positions(self) -> dict[int, tuple[int, ...]]:
        """Blocks that may be pooled, for each depth."""
        return {
            depth: tuple(range(depth))
            if self.pool_after is None
            else tuple(block for block in self.pool_after if block < depth)
            for depth in self.depth
        }

    @cached_property
    def _pool_slots(self) -> int:
        return max(len(positions) for positions in self._pool_positions.values())

    def _heads(self, dim: int) -> tuple[int, ...]:
        if self.num_heads is not None:
            return self.num_heads
        return tuple(dim // head_dim for head_dim in self.head_dim or ())

    def _least_networks(self, *, only_most_pooled: bool) -> Iterator[Architecture]:
        """For every grid, head, shape and number of pools the network that has both the fewest
        FLOPs and the fewest parameters: least depth and width, earliest pools. More pools on as
        many blocks are fewer FLOPs and more parameters: `only_most_pooled` leaves the others out.
        """
        places = self._pool_positions[max(self.depth)]
        depths = {
            stages: next(d for d in self.depth if len(self._pool_positions[d]) >= stages)
            for stages in self.pool_stages
        }
        shapes = itertools.product(self._grids, self.head, self.pool_kernel_size, self.pool_stride)
        for grid, head, kernel, stride in shapes:
            tokens = (grid[0] // grid[1]) ** 2
            most = possible_stages(tokens, kernel, stride, max(self.pool_stages))
            pools = tuple(
                Pool(after=b, kernel_size=kernel, stride=stride, op=self.pool_op[0])
                for b in places[:most]
            )
            sizes = [(depths[stages], stages) for stages in self.pool_stages if stages <= most]
            for depth, stages in dict(sizes).items() if only_most_pooled else sizes:
                yield self._least_network(grid, head, depth, pools[:stages])

    def _least_network(
        self, grid: tuple[int, int, Stem], head: Head, depth: int, pools: tuple[Pool, ...]
    ) -> Architecture:
        dim = min(self.embed_dim)
        placement = next(p for p in ("none", "free", "suffix", "all") if p in self.reattention)
        mixing = {"suffix": (depth - 1,), "all": tuple(range(depth))}
        return Architecture(
            img_size=grid[0],
            patch_size=grid[1],
            in_chans=self.in_chans,
            num_classes=self.num_classes,
            embed_dim=dim,
            depth=depth,
            num_heads=min(self._heads(dim)),
            mlp_ratio=min(self.mlp_ratio),
            reattention=mixing.get(placement, ()),
            pools=pools,
            head=head,
            stem=grid[2],
            reattention_scale=self.reattention_scale[0],
            residual_scale=self.residual_scale[0],
        )

    # ---- reading and writing -------------------------------------------------------------------

    @classmethod
    def load(cls, name_or_file: str | Path) -> Self:
        """A built-in space by name, or a TOML file. Raises ValueError naming file, rule and fix."""
        text = str(name_or_file)
        if text in BUILT_IN_SPACES:
            return cls.from_toml(_BUILT_IN / f"{text}.toml")
        if not text.endswith(".toml") and not Path(text).exists():
            raise ValueError(
                f"Unknown search space {show(text)}{did_you_mean(text, BUILT_IN_SPACES)} "
                "Or give a .toml file."
            )
        return cls.from_toml(Path(text))

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """The space of a TOML file of at most 64 kB, under the file's name."""
        try:
            return cls.from_dict({"name": Path(path).stem, **read_toml(path)})
        except ValueError as error:
            raise ValueError(f"Search space {path}: {error}") from None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The space of the tables of a TOML file; `to_dict` gives them back."""
        check_keys("search space", values, [*PLAIN_FIELDS, *TABLES], REQUIRED)
        flat = {key: value for key, value in values.items() if key in PLAIN_FIELDS}
        for table, fields in TABLES.items():
            inner = values.get(table, {})
            check_keys(f"search space's [{table}]", inner, fields)
            flat |= {fields[key]: value for key, value in inner.items()}
        return cls(**flat)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON in the layout of the TOML files."""

        def plain(value: Any) -> Any:
            return list(value) if isinstance(value, tuple) else value

        values = {field: plain(getattr(self, field)) for field in PLAIN_FIELDS}
        for table, fields in TABLES.items():
            values[table] = {key: plain(getattr(self, field)) for key, field in fields.items()}
            values[table] = {k: v for k, v in values[table].items() if v is not None}
        return {key: value for key, value in values.items() if value is not None}

    def fit(self, *, img_size: int | None = None, in_chans: int, num_classes: int) -> Self:
        """This space for images of that shape; patch sizes that do not divide them are dropped."""
        sizes = self.img_size if img_size is None else (img_size,)
        patches = tuple(p for p in self.patch_size if any(size % p == 0 for size in sizes))
        return dataclasses.replace(
            self,
            img_size=sizes,
            patch_size=patches or self.patch_size,
            in_chans=in_chans,
            num_classes=num_classes,
        )
