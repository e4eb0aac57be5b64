"""`SearchSpace`: the networks that a search may choose from, a grid of choices and placements, as
genes, counted and enumerated. No sampler and no torch here."""

# Genes are the plain values a sampler picks, one a name; every assignment decodes to a network of
# the space, and every network encodes to one canonical assignment.

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from space.architecture import Architecture
from space.checks import (
    FIELDS,
    GRID,
    RULES,
    check_divisible,
    check_donor,
    check_name,
    check_order,
    check_shapes,
    check_sizes,
    check_stems,
)
from space.choosing import checked_choices, kept_blocks
from space.draft import Draft
from space.files import read_toml
from space.flops import count_flops, count_params
from space.parts import Mlp, Part, Plain, kind_name, kind_named, placed_kinds
from space.placements import Params, Placement
from space.rules import LIMITS, check_keys, did_you_mean, field_names, integer, show
from space.variant import OURS, Variant, read_variant

_BUILT_IN = Path(__file__).parent / "spaces"
BUILT_IN_SPACES = ("digits", "cifar", "hvt_deit_tiny", "hvt_deit_small", "deepvit")
COUNTED = (
    1_000_000  # of a space whose placements meddle with each other, at most so many are counted
)
Grid = tuple[int, int, str, int | None]  # img_size, patch_size, kind of the stem, stem_width
_FEWER = {"overlap": ", stem='overlap'"}  # stems that give fewer tokens than patches
OPTIONAL = ("stem_width", "head_dim", "num_heads", "keep")


@dataclass(frozen=True, kw_only=True)  # no slots: cached properties
class SearchSpace:
    """The networks of all combinations of its choices; those that cannot be built are left out.
    Give either `head_dim` or `num_heads`. Raises ValueError on a choice that no network can use."""

    # `placements`: where in the depth kinds of parts may stand, see `space.placements`; `from_dict`
    # reads them as the tables of a space file. `keep`: which of the `donor_depth` blocks of a
    # pretrained network stay, see `kept_blocks`; None: networks begin from nothing.

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
    placements: tuple[Placement, ...] = ()
    name: str = "custom"

    def __post_init__(self) -> None:
        for field, rule in RULES.items():
            choices = getattr(self, field)
            if choices is not None or field not in OPTIONAL:
                object.__setattr__(self, field, checked_choices(field, choices, rule))
        check_name(self.name)
        object.__setattr__(self, "variant", read_variant(self.variant))
        bound = self.placements or tuple(
            kind.placement.bind(kind, kind.placement.table, {}, self.depth)
            for kind in placed_kinds()
            if kind.placement is not None
        )
        object.__setattr__(self, "placements", bound)
        check_donor(self)
        check_shapes(self)
        for field in ("in_chans", "num_classes"):
            integer(1, LIMITS[field]).check(field, getattr(self, field))
        check_divisible(self)
        check_stems(self)
        check_order(self)
        check_sizes(self)
        for draft in self._grids_at(min(self.depth)):
            draft.architecture()  # raises on impossible numbers
        for placement in self.placements:
            placement.check(self._starts)
        for placement in self._in_turn:
            if placement.off() is None and not getattr(placement, "anywhere", True):
                self._check_forced(placement)

    def _check_forced(self, placement: Placement) -> None:
        """Raises ValueError unless a kind that every network has can stand in each, and beside
        what else every network has."""
        without = {gene: value for off in self._offs for gene, value in off.items()}
        for depth in (min(self.depth), max(self.depth)):
            for draft in self._grids_at(depth):
                try:
                    for full in placement.least(draft):
                        full.architecture()
                    self._placed(without, draft)
                except ValueError as error:
                    raise ValueError(
                        f"Every network of the space has a part of [{placement.table}], but it "
                        f'cannot stand in each: {error} Or add "none" to its `placement`.'
                    ) from None

    # ---- genes ---------------------------------------------------------------------------------

    @cached_property
    def genes(self) -> dict[str, tuple[Any, ...]]:
        """The choices of every gene by name, a fixed number of genes for all networks of the
        space."""
        # A gene that a network does not use (the second pool's place in a network with one) stands
        # at its first choice in the canonical assignment. Places are relative to the depth.
        genes: dict[str, tuple[Any, ...]] = {
            field: getattr(self, field) for field in GRID if getattr(self, field)
        }
        for placement in self.placements:
            genes |= placement.genes()
        return {name: choices for name, choices in genes.items() if len(choices) > 1}

    def decode(self, params: Mapping[str, Any]) -> Architecture:
        """The network of an assignment of genes; missing genes stand at their first choice. Where
        it cannot be built, it takes the nearest patch size that divides, and as many pools as
        tokens allow."""
        get = params.get
        values = {field: get(field, first) for field, first in self._firsts}
        grid = self._nearest_grid(
            values["img_size"], values["patch_size"], values["stem"], values.get("stem_width")
        )
        heads = values.get("num_heads") or values["embed_dim"] // values["head_dim"]
        empty = self._draft(
            grid,
            values["embed_dim"],
            heads,
            values["mlp_ratio"],
            values["head"],
            depth=values["depth"],
            residual_scale=values["residual_scale"],
            keep=values.get("keep"),
        )
        return self._placed(params, empty)

    def _placed(self, params: Mapping[str, Any], empty: Draft) -> Architecture:
        """The network with the parts of all placements. Kinds that cannot stand everywhere are left
        out one by one, then others, while the network cannot be built."""
        for off in (*self._offs, None):
            draft = empty if off is None else empty.copy()
            for placement in self._in_turn:
                placement.decode(params, draft)
            try:
                return draft.architecture()
            except ValueError:
                if off is None:
                    raise
                params = {**params, **off}
        raise AssertionError

    @cached_property
    def _offs(self) -> tuple[Params, ...]:
        """Genes that leave out one kind, those first that cannot stand everywhere."""
        kinds = sorted(self._in_turn, key=lambda placement: getattr(placement, "anywhere", True))
        return tuple(off for placement in kinds if (off := placement.off()) is not None)

    @cached_property
    def _in_turn(self) -> tuple[Placement, ...]:
        """The placements that put something into some network, as they are decoded: a kind that
        needs the grid sees what others left."""
        on = (placement for placement in self.placements if not placement.is_off())
        return tuple(sorted(on, key=lambda p: (p.kind.needs_grid, hasattr(p, "role"))))

    @cached_property
    def _firsts(self) -> tuple[tuple[str, Any], ...]:
        """The fields of the grid with their first choices."""
        return tuple((field, choices[0]) for field in GRID if (choices := getattr(self, field)))

    def encode(self, architecture: Architecture) -> Params:
        """The canonical assignment of `genes` for a network of the space (`decode` gives it back,
        or the same network in other words). Raises ValueError if it is not in the space."""
        a = architecture
        try:
            values = self._read(a)
            outside = next((n for n, c in self.genes.items() if values[n] not in c), None)
            if outside is not None:
                raise ValueError(f"`{outside}` has no choice {values[outside]}")
            if self.decode(values).key() != a.key():
                raise ValueError("its genes make another network")
        except ValueError as error:
            raise ValueError(
                f"The architecture must be in the space {self.name!r}, but is not ({error}): {a}"
            ) from None
        return values

    def _read(self, a: Architecture) -> Params:
        """The genes of a network, in the space or not; ValueError where no genes can say it."""
        dim, attention = a.start.dim, a.stages[0].attention
        heads = getattr(attention, "num_heads", self._heads(dim)[0])
        values: Params = {
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
            "keep": self._rules_of(a.depth).get(a.donor_blocks),
        }
        draft = Draft.of(a, self._bases(heads, values["mlp_ratio"]))
        if a.depth not in self.depth:
            raise ValueError(f"`depth` has no choice {a.depth}")
        for placement in reversed(self._in_turn):
            values |= placement.encode(draft)
        return {name: values.get(name, choices[0]) for name, choices in self.genes.items()}

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

    def _rules_of(self, depth: int) -> dict[tuple[int, ...] | None, str | None]:
        """The rule of `keep` that makes each set of the donor's blocks, the first that does."""
        if self.keep is None or self.donor_depth is None or depth > self.donor_depth:
            return {None: None}
        rules = reversed(self.keep)
        return {kept_blocks(rule, depth, self.donor_depth): rule for rule in rules}

    def _ratio_of(self, a: Architecture) -> float:
        mlp, dims = a.stages[0].mlp, {place.shape.dim for place in a.walk()}
        if isinstance(mlp, Mlp):
            for ratio in self.mlp_ratio:
                if all(mlp.hidden(dim) == int(dim * ratio) for dim in dims):
                    return ratio
        return self.mlp_ratio[0]

    def key(self, architecture: Architecture) -> Hashable:
        """Equal for two spellings of one network: mlp_ratio 4 and 4.0, a scale without
        Re-attention, the stride of a pool that leaves one token."""
        return architecture.key()

    def __contains__(self, architecture: object) -> bool:
        if not isinstance(architecture, Architecture):
            return False
        try:
            self.encode(architecture)
        except ValueError:
            return False
        return True

    def draw(self, rng: np.random.Generator) -> Params:
        """A random assignment: every gene uniform over its choices."""
        draws = rng.random(len(self.genes)).tolist()
        return {
            name: choices[int(draw * len(choices))]
            for (name, choices), draw in zip(self.genes.items(), draws, strict=True)
        }

    def sample(self, rng: np.random.Generator) -> Architecture:
        """The network of a random assignment."""
        return self.decode(self.draw(rng))

    # ---- the grid ------------------------------------------------------------------------------

    @cached_property
    def grids(self) -> tuple[Grid, ...]:
        """(img_size, patch_size, stem, stem_width) that go together, one for each network."""
        found: dict[Hashable, Grid] = {}
        widths = self.stem_width or (None,)
        for grid in itertools.product(self.img_size, self.patch_size, self.stem, widths):
            try:
                draft = self._draft(grid, self.embed_dim[0], 1, 4.0, "avg", depth=1)
            except ValueError:
                continue
            found.setdefault((grid[0], draft.stem.key(draft.start)), grid)
        return tuple(found.values())

    @cached_property
    def _starts(self) -> dict[str, Any]:
        """The shapes behind the stems, by the words of an error."""
        dim = self.embed_dim[0]
        return {
            f"img_size={img}, patch_size={patch}{_FEWER.get(stem, '')}": self._draft(
                (img, patch, stem, width), dim, 1, 4.0, self.head[0], depth=1
            ).start
            for img, patch, stem, width in self.grids
        }

    def _nearest_grid(self, img: int, patch: int, stem: str, width: int | None) -> Grid:
        if (img, patch, stem, width) in self.grids:
            return img, patch, stem, width
        return min(
            (grid for grid in self.grids if grid[0] == img),
            key=lambda grid: (abs(math.log(grid[1] / patch)), grid[2] != stem, grid[3] != width),
        )

    def _heads(self, dim: int) -> tuple[int, ...]:
        if self.num_heads is not None:
            return self.num_heads
        return tuple(dim // head_dim for head_dim in self.head_dim or ())

    def _bases(self, heads: int, ratio: float) -> dict[str, Part | None]:
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

    def _draft(
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
            self._bases(heads, ratio),
            depth=depth,
            residual_scale=residual_scale,
            layer_scale=self.layer_scale,
        )

    def _grids_at(self, depth: int) -> Iterator[Draft]:
        """The narrowest plain networks of that depth, one for every grid and head."""
        dim = min(self.embed_dim)
        every = self._heads(dim)
        few = every if self._is_widened else (min(every),)  # heads decide how widths are rounded
        for grid, head, heads in itertools.product(self.grids, self.head, few):
            yield self._draft(grid, dim, heads, min(self.mlp_ratio), head, depth=depth)

    # ---- counting ------------------------------------------------------------------------------

    @cached_property
    def _is_widened(self) -> bool:
        return any(placement.kind.widens for placement in self._in_turn)

    def _ratios(self, dim: int) -> dict[float, float]:
        """A ratio for every width of an MLP; all of them where tokens grow wider."""
        ratios = reversed(self.mlp_ratio)
        return {ratio if self._is_widened else int(dim * ratio): ratio for ratio in ratios}

    @cached_property
    def _is_independent(self) -> bool:
        """Whether no placement's ways depend on those of another."""
        roles = [getattr(placement, "role", "tokens") for placement in self._in_turn]
        meddles = "tokens" in roles and any(p.kind.needs_grid for p in self._in_turn)
        anywhere = all(getattr(placement, "anywhere", True) for placement in self._in_turn)
        return len(set(roles)) == len(roles) and anywhere and not meddles

    def size(self) -> int:
        """The number of distinct networks, without building them. Exact, but where kinds meddle
        with each other in more than `COUNTED` combinations: then no less than it."""
        per_width = sum(len(self._ratios(dim)) * len(self._heads(dim)) for dim in self.embed_dim)
        per_depth = sum(
            len(self._rules_of(depth))
            * math.prod(placement.count(depth, start) for placement in self.placements)
            for start in self._grid_starts()
            for depth in self.depth
        )
        most = per_width * per_depth * len(self.head) * len(self.residual_scale)
        if self._is_independent or most > COUNTED:
            return most
        return sum(1 for _ in self.enumerate())

    def _grid_starts(self) -> Iterator[Any]:
        for grid in self.grids:
            yield self._draft(grid, self.embed_dim[0], 1, 4.0, self.head[0], depth=1).start

    def enumerate(self) -> Iterator[Architecture]:
        """Every distinct network of the space once. As many as `size()`: look at that first."""
        shapes = itertools.product(
            self.grids, self.embed_dim, self.depth, self.head, self.residual_scale
        )
        seen: set[Hashable] = set()
        for grid, dim, depth, head, residual in shapes:
            ratios = self._ratios(dim)
            rest = itertools.product(
                self._heads(dim), sorted(ratios), self._rules_of(depth).values()
            )
            for heads, hidden, keep in rest:
                draft = self._draft(
                    grid, dim, heads, ratios[hidden], head,
                    depth=depth, residual_scale=residual, keep=keep,
                )  # fmt: skip
                for full in self._every(draft, self._in_turn):
                    if self._is_independent:
                        yield full.architecture()
                    elif full.is_possible() and (a := full.architecture()).key() not in seen:
                        seen.add(a.key())
                        yield a

    def _every(self, draft: Draft, placements: tuple[Placement, ...]) -> Iterator[Draft]:
        if not placements:
            yield draft
            return
        for other in placements[0].every(draft):
            yield from self._every(other, placements[1:])

    def smallest(self) -> Architecture:
        """The network of the space with the fewest FLOPs."""
        return min(self._least_networks, key=count_flops)

    def leanest(self, budget: int) -> Architecture | None:
        """The network of at most `budget` FLOPs with the fewest parameters; `None` without one."""
        fitting = (a for a in self._least_networks if count_flops(a) <= budget)
        return min(fitting, key=count_params, default=None)

    @cached_property
    def _least_networks(self) -> tuple[Architecture, ...]:
        """Networks among which are that of fewest FLOPs and, within every budget, that of fewest
        parameters: of least width, every grid, and of each placement what may cost least."""
        wider_first = tuple(sorted(self._in_turn, key=lambda placement: not placement.kind.widens))
        return tuple(
            full.architecture()
            for depth in sorted(self.depth)
            for draft in self._grids_at(depth)
            for full in self._least(draft, wider_first)
            if full.is_possible()
        )

    def _least(self, draft: Draft, placements: tuple[Placement, ...]) -> Iterator[Draft]:
        if not placements:
            yield draft
            return
        for other in placements[0].least(draft):
            yield from self._least(other, placements[1:])

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
        """The space of the tables of a TOML file; `to_dict` gives them back. A table named
        "module:Class" places a kind of another's."""
        ours = {kind.placement.table: kind for kind in placed_kinds() if kind.placement is not None}
        theirs = [key for key in values if isinstance(key, str) and ":" in key]
        check_keys("search space", values, [*FIELDS, *ours, *theirs], REQUIRED)
        depths = checked_choices("depth", values["depth"], RULES["depth"])
        bound = []
        for table, kind in [*ours.items(), *((name, kind_named(name)) for name in theirs)]:
            if kind.placement is None:
                raise ValueError(f"The kind {table} has no `placement`: it cannot be searched.")
            bound.append(kind.placement.bind(kind, table, values.get(table, {}), depths))
        flat = {key: value for key, value in values.items() if key in FIELDS}
        return cls(**flat, placements=tuple(bound))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON in the layout of the TOML files; tables that change nothing are left out."""
        values = {field: getattr(self, field) for field in FIELDS}
        plain: dict[str, Any] = {
            field: list(value) if isinstance(value, tuple) else value
            for field, value in values.items()
            if value is not None and value is not False and field != "variant"
        }
        if self.variant != OURS:
            plain["variant"] = read_variant(self.variant).to_dict()
        for placement in self.placements:
            declared = placement.kind.placement
            assert declared is not None
            if placement != declared.bind(placement.kind, placement.table, {}, self.depth):
                plain[placement.table] = placement.to_dict()
        return plain

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


@lru_cache(maxsize=1024)
def _stem(name: str, patch_size: int, dim: int, width: int | None) -> Part:
    kind: Any = kind_named(name)
    has_width = width is not None and "width" in field_names(kind)
    stem: Part = kind(patch_size=patch_size, dim=dim, **({"width": width} if has_width else {}))
    return stem


REQUIRED = ("img_size", "patch_size", "embed_dim", "depth")
