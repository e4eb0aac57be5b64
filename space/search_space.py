"""`SearchSpace`: the networks that a search may choose from, a grid of choices and placements, as
genes, counted and enumerated. No sampler and no torch here."""

# Genes are the plain values a sampler picks, one a name; every assignment decodes to a network of
# the space, and every network encodes to one canonical assignment.

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from space import counting
from space.architecture import Architecture
from space.checks import (
    FIELDS,
    GRID,
    RULES,
    check_divisible,
    check_donor,
    check_name,
    check_order,
    check_per_block,
    check_placements,
    check_shapes,
    check_sizes,
    check_stems,
)
from space.choosing import checked_choices
from space.draft import Draft
from space.files import read_toml
from space.flops import count_flops, count_params
from space.grid import GridOfChoices
from space.parts import kind_named, placed_kinds
from space.placements import Params, Placement
from space.rules import LIMITS, check_keys, did_you_mean, integer, show
from space.variant import OURS, read_variant

_BUILT_IN = Path(__file__).parent / "spaces"
BUILT_IN_SPACES = (
    "digits_staged",
    "photos",
    "digits",
    "cifar",
    "hvt_deit_tiny",
    "hvt_deit_small",
    "deepvit",
    "autoformer_tiny",
    "autoformer_small",
    "autoformer_base",
)
OPTIONAL = ("stem_width", "head_dim", "num_heads", "keep", "per_block")


@dataclass(frozen=True, kw_only=True)  # no slots: cached properties
class SearchSpace(GridOfChoices):
    """The networks of all combinations of its choices; those that cannot be built are left out.
    Give either `head_dim` or `num_heads`. Raises ValueError on a choice that no network can use."""

    # `placements`: where in the depth kinds of parts may stand, see `space.placements`; `from_dict`
    # reads them as the tables of a space file. `keep`: which of the `donor_depth` blocks of a
    # pretrained network stay, see `kept_blocks`; None: networks begin from nothing.

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
        check_per_block(self)
        check_divisible(self)
        check_stems(self)
        check_order(self)
        check_sizes(self)
        check_placements(self)

    # ---- genes ---------------------------------------------------------------------------------

    @cached_property
    def genes(self) -> dict[str, tuple[Any, ...]]:
        """The choices of every gene by name, a fixed number of genes for all networks of the
        space."""
        # A gene that a network does not use (the second pool's place in a network with one) stands
        # at its first choice in the canonical assignment. Places are relative to the depth.
        genes: dict[str, tuple[Any, ...]] = {
            gene: getattr(self, field)
            for field in GRID
            if getattr(self, field)
            for gene in self.genes_of(field)
        }
        for placement in self.placements:
            genes |= placement.genes()
        return {name: choices for name, choices in genes.items() if len(choices) > 1}

    def decode(self, params: Mapping[str, Any]) -> Architecture:
        """The network of an assignment of genes; missing genes stand at their first choice. Where
        it cannot be built, it takes the nearest patch size that divides, and as many pools as
        tokens allow."""
        return self.placed(params, self.plain(params))

    def placed(self, params: Mapping[str, Any], empty: Draft) -> Architecture:
        """The network with the parts of all placements. Kinds that cannot stand everywhere are left
        out one by one, then others, while the network cannot be built."""
        for off in (*self.offs, None):
            draft = empty if off is None else empty.copy()
            for placement in self.in_turn:
                placement.decode(params, draft)
            try:
                return draft.architecture()
            except ValueError:
                if off is None:
                    raise
                params = {**params, **off}
        raise AssertionError

    @cached_property
    def offs(self) -> tuple[Params, ...]:
        """Genes that leave out one kind, those first that cannot stand everywhere."""
        kinds = sorted(self.in_turn, key=lambda placement: getattr(placement, "anywhere", True))
        return tuple(off for placement in kinds if (off := placement.off()) is not None)

    @cached_property
    def in_turn(self) -> tuple[Placement, ...]:
        """The placements that put something into some network, as they are decoded: a kind that
        needs the grid sees what others left."""
        on = (placement for placement in self.placements if not placement.is_off())
        return tuple(sorted(on, key=lambda p: (p.kind.needs_grid, hasattr(p, "role"))))

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
        values = self.read(a)
        draft = Draft.of(a, self.bases_of(a))
        if a.depth not in self.depth:
            raise ValueError(f"`depth` has no choice {a.depth}")
        for placement in reversed(self.in_turn):
            values |= placement.encode(draft)
        return {name: values.get(name, choices[0]) for name, choices in self.genes.items()}

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

    # ---- counting ------------------------------------------------------------------------------

    def size(self) -> int:
        """The number of distinct networks, without building them. Exact, but where kinds meddle
        with each other in more than `counting.COUNTED` combinations: then no less than it."""
        return counting.size(self)

    def enumerate(self) -> Iterator[Architecture]:
        """Every distinct network of the space once. As many as `size()`: look at that first."""
        return counting.networks(self)

    def smallest(self) -> Architecture:
        """The network of the space with the fewest FLOPs."""
        return min(self._least_networks, key=count_flops)

    def leanest(self, budget: int) -> Architecture | None:
        """The network of at most `budget` FLOPs with the fewest parameters; `None` without one."""
        fitting = (a for a in self._least_networks if count_flops(a) <= budget)
        return min(fitting, key=count_params, default=None)

    @cached_property
    def _least_networks(self) -> tuple[Architecture, ...]:
        return tuple(counting.least_networks(self))

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


REQUIRED = ("img_size", "patch_size", "embed_dim", "depth")
