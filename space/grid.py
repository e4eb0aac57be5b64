"""`GridOfChoices`: what a search space may choose for all blocks alike (image, stem, width, depth,
heads, MLP, head), before any placement."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from space.architecture import Architecture
from space.checks import GRID
from space.choosing import PER_BLOCK, kept_blocks
from space.draft import Bases, Draft
from space.parts import Mlp, Part, Plain, kind_name, kind_named
from space.parts.part import Shape
from space.rules import field_names
from space.variant import OURS, Variant

Grid = tuple[int, int, str, int | None]  # img_size, patch_size, kind of the stem, stem_width
_FEWER = {"overlap": ", stem='overlap'"}  # stems that give fewer tokens than patches


@dataclass(frozen=True, kw_only=True)  # no slots: cached properties
class GridOfChoices:
    """The choices of plain networks: columns of equal blocks, or blocks that have the choices of
    the fields `per_block` each for itself."""

    img_size: tuple[int, ...]
    patch_size: tuple[int, ...]
    embed_dim: tuple[int, ...]
    depth: tuple[int, ...]
    in_chans: int = 3
    num_classes: int = 1000
    head_dim: tuple[int, ...] | None = None
    num_heads: tuple[int, ...] | None = None
    mlp_ratio: tuple[float, ...] = (4.0,)
    head: tuple[str, ...] = ("avg",)
    stem: tuple[str, ...] = ("patch",)
    stem_width: tuple[int, ...] | None = None
    residual_scale: tuple[float, ...] = (1.0,)
    keep: tuple[str, ...] | None = None
    donor_depth: int | None = None
    layer_scale: bool = False
    variant: Variant | Mapping[str, Any] = OURS
    per_block: tuple[str, ...] | None = None

    @cached_property
    def grids(self) -> tuple[Grid, ...]:
        """(img_size, patch_size, stem, stem_width) that go together, one for each network."""
        found: dict[Hashable, Grid] = {}
        widths = self.stem_width or (None,)
        for grid in itertools.product(self.img_size, self.patch_size, self.stem, widths):
            try:
                draft = self.draft(grid, self.embed_dim[0], (1,), (4.0,), "avg")
            except ValueError:
                continue
            found.setdefault((grid[0], draft.stem.key(draft.start)), grid)
        return tuple(found.values())

    @cached_property
    def starts(self) -> tuple[Shape, ...]:
        """The shapes behind the stems of `grids`."""
        dim, head = self.embed_dim[0], self.head[0]
        return tuple(self.draft(grid, dim, (1,), (4.0,), head).start for grid in self.grids)

    def named_starts(self) -> dict[str, Shape]:
        """These shapes by the words of an error."""
        return {
            f"img_size={img}, patch_size={patch}{_FEWER.get(stem, '')}": start
            for (img, patch, stem, _), start in zip(self.grids, self.starts, strict=True)
        }

    def plain(self, params: Mapping[str, Any]) -> Draft:
        """The blocks of an assignment of genes, before the placements, on the nearest grid."""
        get = params.get
        values = {field: get(field, first) for field, first in self._firsts}
        grid = self._nearest_grid(
            values["img_size"], values["patch_size"], values["stem"], values.get("stem_width")
        )
        depth = values["depth"]
        own = {field: self._own(field, params, values, depth) for field in PER_BLOCK}
        heads = own["num_heads"]
        if self.num_heads is None:
            heads = (values["embed_dim"] // values["head_dim"],) * depth
        return self.draft(
            grid,
            values["embed_dim"],
            heads,
            own["mlp_ratio"],
            values["head"],
            residual_scale=values["residual_scale"],
            keep=values.get("keep"),
        )

    def genes_of(self, field: str) -> tuple[str, ...]:
        """The genes of a field: one, or one for each block from the first on."""
        if field not in (self.per_block or ()):
            return (field,)
        return tuple(f"{field}_{block}" for block in range(1, max(self.depth) + 1))

    def ways(self, field: str, choices: Iterable[Any], depth: int) -> Iterable[tuple[Any, ...]]:
        """Every way in which blocks may have the choices of a field."""
        if field in (self.per_block or ()):
            return itertools.product(choices, repeat=depth)
        return ((choice,) * depth for choice in choices)

    def _own(
        self, field: str, params: Mapping[str, Any], values: Mapping[str, Any], depth: int
    ) -> tuple[Any, ...]:
        """What each block has of a field."""
        genes = self.genes_of(field)
        if len(genes) == 1:
            return (values.get(field),) * depth
        return tuple(params.get(gene, values[field]) for gene in genes[:depth])

    @cached_property
    def _firsts(self) -> tuple[tuple[str, Any], ...]:
        """The fields of the grid with their first choices."""
        return tuple((field, choices[0]) for field in GRID if (choices := getattr(self, field)))

    def _nearest_grid(self, img: int, patch: int, stem: str, width: int | None) -> Grid:
        if (img, patch, stem, width) in self.grids:
            return img, patch, stem, width
        return min(
            (grid for grid in self.grids if grid[0] == img),
            key=lambda grid: (grid[2] != stem, abs(math.log(grid[1] / patch)), grid[3] != width),
        )

    def heads_of(self, dim: int) -> tuple[int, ...]:
        """The numbers of heads at that width."""
        if self.num_heads is not None:
            return self.num_heads
        return tuple(dim // head_dim for head_dim in self.head_dim or ())

    def rules_of(self, depth: int) -> dict[tuple[int, ...] | None, str | None]:
        """The rule of `keep` that makes each set of the donor's blocks, the first that does."""
        if self.keep is None or self.donor_depth is None or depth > self.donor_depth:
            return {None: None}
        rules = reversed(self.keep)
        return {kept_blocks(rule, depth, self.donor_depth): rule for rule in rules}

    def bases(self, heads: tuple[int, ...], ratios: tuple[float, ...]) -> Bases:
        """The parts of each role where no placement puts others, one for each block."""
        if (heads, ratios) not in self._known_bases:
            attention = {number: Plain(num_heads=number) for number in heads}
            mlp = {ratio: Mlp(ratio=ratio) for ratio in ratios}
            self._known_bases[heads, ratios] = {
                "attention": tuple(attention[number] for number in heads),
                "mlp": tuple(mlp[ratio] for ratio in ratios),
                "local": (None,) * len(heads),
            }
        return self._known_bases[heads, ratios]

    @cached_property
    def _known_bases(self) -> dict[Hashable, Bases]:
        return {}

    def draft(
        self,
        grid: Grid,
        dim: int,
        heads: tuple[int, ...],
        ratios: tuple[float, ...],
        head: str,
        *,
        residual_scale: float | None = None,
        keep: str | None = None,
    ) -> Draft:
        """Plain blocks, before the placements, with the heads and MLP ratios of each. Raises
        ValueError if the stem cannot be built."""
        img, patch, stem, width = grid
        image = {
            "img_size": img,
            "in_chans": self.in_chans,
            "num_classes": self.num_classes,
            "head": head,
            "variant": self.variant,
        }
        if self.keep is not None and self.donor_depth is not None:
            image["donor_blocks"] = kept_blocks(keep or self.keep[0], len(heads), self.donor_depth)
        if residual_scale is None:
            residual_scale = self.residual_scale[0]
        return Draft(
            image,
            _stem(stem, patch, dim, width),
            self.bases(heads, ratios),
            residual_scale=residual_scale,
            layer_scale=self.layer_scale,
            cuts=range(1, len(heads)) if self.per_block else (),
        )

    def bases_of(self, a: Architecture) -> Bases:
        """The parts of each role that the placements of that network took the places of."""
        heads, ratios = self._per_block_of(a)
        return self.bases(heads, ratios)

    def _per_block_of(self, a: Architecture) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """The heads and MLP ratios of all blocks, at the width of the first."""
        stages = a.stages if self.per_block else a.stages[:1]
        usual = self.heads_of(a.start.dim)[0]
        dims = {place.shape.dim for place in a.walk()}
        heads = [(getattr(s.attention, "num_heads", usual), s.depth) for s in stages]
        ratios = [(self._ratio_of(s.mlp, dims), s.depth) for s in stages]
        if not self.per_block:
            return (heads[0][0],) * a.depth, (ratios[0][0],) * a.depth
        return _repeated(heads), _repeated(ratios)

    def read(self, a: Architecture) -> dict[str, Any]:
        """The genes of a network that are not of placements, whether it is in the space or not."""
        dim = a.start.dim
        heads, ratios = self._per_block_of(a)
        return {
            "img_size": a.img_size,
            "patch_size": getattr(a.stem, "patch_size", None),
            "stem": kind_name(type(a.stem)),
            "stem_width": self._width_of(a),
            "embed_dim": dim,
            "depth": a.depth,
            "head_dim": dim // heads[0],
            **self._read_own("num_heads", heads),
            **self._read_own("mlp_ratio", ratios),
            "head": a.head,
            "residual_scale": a.stages[0].residual_scale,
            "keep": self.rules_of(a.depth).get(a.donor_blocks),
        }

    def _width_of(self, a: Architecture) -> int | None:
        """The `stem_width` that makes its stem, else that of the stem itself."""
        if self.stem_width is None:
            return None
        key = a.stem.key(a.image)
        return next(
            (
                width
                for img, patch, stem, width in self.grids
                if img == a.img_size and _stem(stem, patch, a.start.dim, width).key(a.image) == key
            ),
            getattr(a.stem, "width", self.stem_width[0]),
        )

    def _read_own(self, field: str, values: Sequence[Any]) -> dict[str, Any]:
        """The genes of a field for what blocks have of it. Raises ValueError if they must have it
        alike and do not."""
        genes = self.genes_of(field)
        if len(genes) == 1 and len(set(values)) > 1:
            raise ValueError(f"`{field}` is one for all blocks, not {list(values)}")
        return dict(zip(genes, values, strict=False))

    def _ratio_of(self, mlp: Part, dims: set[int]) -> float:
        if isinstance(mlp, Mlp):
            for ratio in self.mlp_ratio:
                if all(mlp.hidden(dim) == int(dim * ratio) for dim in dims):
                    return ratio
        return self.mlp_ratio[0]


def _repeated(values: Iterable[tuple[Any, int]]) -> tuple[Any, ...]:
    return tuple(value for value, times in values for _ in range(times))


@lru_cache(maxsize=1024)
def _stem(name: str, patch_size: int, dim: int, width: int | None) -> Part:
    kind: Any = kind_named(name)
    has_width = width is not None and "width" in field_names(kind)
    stem: Part = kind(patch_size=patch_size, dim=dim, **({"width": width} if has_width else {}))
    return stem
