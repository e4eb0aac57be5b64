"""`GridOfChoices`: what a search space may choose for all blocks alike (image, stem, width, depth,
heads, MLP, head), before any placement."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from space.architecture import Architecture
from space.checks import GRID
from space.choosing import kept_blocks
from space.draft import Draft
from space.parts import Mlp, Part, Plain, kind_name, kind_named
from space.parts.part import Shape
from space.rules import field_names
from space.variant import OURS, Variant

Grid = tuple[int, int, str, int | None]  # img_size, patch_size, kind of the stem, stem_width
_FEWER = {"overlap": ", stem='overlap'"}  # stems that give fewer tokens than patches


@dataclass(frozen=True, kw_only=True)  # no slots: cached properties
class GridOfChoices:
    """The choices of plain networks: columns of equal blocks."""

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

    @cached_property
    def grids(self) -> tuple[Grid, ...]:
        """(img_size, patch_size, stem, stem_width) that go together, one for each network."""
        found: dict[Hashable, Grid] = {}
        widths = self.stem_width or (None,)
        for grid in itertools.product(self.img_size, self.patch_size, self.stem, widths):
            try:
                draft = self.draft(grid, self.embed_dim[0], 1, 4.0, "avg", depth=1)
            except ValueError:
                continue
            found.setdefault((grid[0], draft.stem.key(draft.start)), grid)
        return tuple(found.values())

    @cached_property
    def starts(self) -> tuple[Shape, ...]:
        """The shapes behind the stems of `grids`."""
        dim, head = self.embed_dim[0], self.head[0]
        return tuple(self.draft(grid, dim, 1, 4.0, head, depth=1).start for grid in self.grids)

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
        heads = values.get("num_heads") or values["embed_dim"] // values["head_dim"]
        return self.draft(
            grid,
            values["embed_dim"],
            heads,
            values["mlp_ratio"],
            values["head"],
            depth=values["depth"],
            residual_scale=values["residual_scale"],
            keep=values.get("keep"),
        )

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

    def bases(self, heads: int, ratio: float) -> dict[str, Part | None]:
        """The part of each role where no placement puts another."""
        if (heads, ratio) not in self._known_bases:
            bases: dict[str, Part | None] = {
                "attention": Plain(num_heads=heads),
                "mlp": Mlp(ratio=ratio),
                "local": None,
            }
            self._known_bases[heads, ratio] = bases
        return self._known_bases[heads, ratio]

    @cached_property
    def _known_bases(self) -> dict[tuple[int, float], dict[str, Part | None]]:
        return {}

    def draft(
        self,
        grid: Grid,
        dim: int,
        heads: int,
        ratio: float,
        head: str,
        *,
        depth: int,
        residual_scale: float | None = None,
        keep: str | None = None,
    ) -> Draft:
        """Plain blocks, before the placements. Raises ValueError if the stem cannot be built."""
        img, patch, stem, width = grid
        image = {
            "img_size": img,
            "in_chans": self.in_chans,
            "num_classes": self.num_classes,
            "head": head,
            "variant": self.variant,
        }
        if self.keep is not None and self.donor_depth is not None:
            image["donor_blocks"] = kept_blocks(keep or self.keep[0], depth, self.donor_depth)
        if residual_scale is None:
            residual_scale = self.residual_scale[0]
        return Draft(
            image,
            _stem(stem, patch, dim, width),
            self.bases(heads, ratio),
            depth=depth,
            residual_scale=residual_scale,
            layer_scale=self.layer_scale,
        )

    def read(self, a: Architecture) -> dict[str, Any]:
        """The genes of a network that are not of placements, whether it is in the space or not."""
        dim, attention = a.start.dim, a.stages[0].attention
        heads = getattr(attention, "num_heads", self.heads_of(dim)[0])
        return {
            "img_size": a.img_size,
            "patch_size": getattr(a.stem, "patch_size", None),
            "stem": kind_name(type(a.stem)),
            "stem_width": self._width_of(a),
            "embed_dim": dim,
            "depth": a.depth,
            "num_heads": heads,
            "head_dim": dim // heads,
            "mlp_ratio": self._ratio_of(a),
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

    def _ratio_of(self, a: Architecture) -> float:
        mlp, dims = a.stages[0].mlp, {place.shape.dim for place in a.walk()}
        if isinstance(mlp, Mlp):
            for ratio in self.mlp_ratio:
                if all(mlp.hidden(dim) == int(dim * ratio) for dim in dims):
                    return ratio
        return self.mlp_ratio[0]


@lru_cache(maxsize=1024)
def _stem(name: str, patch_size: int, dim: int, width: int | None) -> Part:
    kind: Any = kind_named(name)
    has_width = width is not None and "width" in field_names(kind)
    stem: Part = kind(patch_size=patch_size, dim=dim, **({"width": width} if has_width else {}))
    return stem
