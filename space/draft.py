"""`Draft`: a network as a list of blocks while a search space puts it together or reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from space.architecture import Architecture, behind_stem
from space.parts.part import Part, Shape, Shapes
from space.stage import Stage
from space.variant import OURS

Bases = Mapping[str, Sequence["Part | None"]]  # role -> the part of each block
ROLES = ("attention", "mlp", "local")
MOST_PLACED = 10_000
_PLACED: dict[Any, Part] = {}  # parts are values: what was made once is made for all drafts


class Draft:
    """Blocks of one depth that placements change: `roles[role][block]` is a part or None,
    `then[block]` the parts after it. `start` is the shape behind the stem."""

    # `cuts`: blocks before which they may differ; `taken[role]`: blocks whose part has been read.
    # `widened`: whether tokens may grow wider; heads are those at the first width, and grow with it
    # in `architecture()`.
    __slots__ = (
        "bases",
        "cuts",
        "image",
        "layer_scale",
        "residual_scale",
        "roles",
        "start",
        "stem",
        "taken",
        "then",
        "widened",
    )

    def __init__(
        self,
        image: dict[str, Any],
        stem: Part,
        bases: Bases,
        *,
        residual_scale: float,
        layer_scale: bool = False,
        cuts: Iterable[int] = (),
    ) -> None:
        """`image`: fields of an `Architecture` beside stem and stages; `bases`: the parts of each
        role where no placement puts others, which may differ before the blocks `cuts`."""
        self.image, self.stem, self.bases = image, stem, bases
        self.residual_scale, self.layer_scale = residual_scale, layer_scale
        prefix = image.get("variant", OURS).prefix(image["head"])
        self.start = behind_stem(stem, image["img_size"], image["in_chans"], prefix)
        self.roles: dict[str, list[Any]] = {role: list(bases[role]) for role in ROLES}
        self.then: list[tuple[Part, ...]] = [()] * len(bases["attention"])
        self.cuts = set(cuts)
        self.taken: dict[str, set[int]] = {role: set() for role in ROLES}
        self.widened = False

    @property
    def image_shape(self) -> Shape:
        """The shape of an image."""
        size = self.image["img_size"]
        return Shape((size, size), size * size, 0, self.image["in_chans"])

    @property
    def depth(self) -> int:
        return len(self.then)

    @property
    def has_tokens_changed(self) -> bool:
        """Whether another placement has put something after a block."""
        return any(self.then)

    def base(self, role: str, block: int = 0) -> Part | None:
        """The part of that role in a block where no placement puts another."""
        return self.bases[role][block]

    @property
    def head_dim(self) -> int:
        """Width of a head of the first block where no placement puts another attention."""
        return self.start.dim // getattr(self.base("attention"), "num_heads", self.start.dim)

    def copy(self) -> Draft:
        """Another draft that can be changed by itself."""
        other = object.__new__(Draft)
        other.image, other.stem, other.bases = self.image, self.stem, self.bases
        other.residual_scale, other.layer_scale = self.residual_scale, self.layer_scale
        other.start = self.start
        other.roles = {role: list(parts) for role, parts in self.roles.items()}
        other.then, other.cuts, other.widened = list(self.then), set(self.cuts), self.widened
        other.taken = self.taken
        return other

    def put(self, role: str, first: int, end: int, part: Part) -> None:
        """The part into the blocks from `first` to before `end`, in place of what is there."""
        self.roles[role][first:end] = [part] * (end - first)
        self.cuts |= set(range(first, end + 1)) if part.changes() else {first, end}

    def put_after(self, block: int, part: Part) -> None:
        """The part after that block, behind what is there; one that needs the grid before those
        that may lose it."""
        there = self.then[block]
        at = sum(p.needs_grid for p in there) if part.needs_grid else len(there)
        self.then[block] = (*there[:at], part, *there[at:])
        self.cuts.add(block + 1)
        self.widened = self.widened or part.widens

    def placed(
        self, kind: type[Part], choices: Mapping[str, Any], before: Part | None, number: int
    ) -> Part:
        """The part of that kind, the `number`-th of it, in place of `before`."""
        key = (kind, *choices.values(), before, self.start, number, self.head_dim)
        part = _PLACED.get(key)
        if part is None:
            if len(_PLACED) > MOST_PLACED:
                _PLACED.clear()
            part = _PLACED[key] = kind.placed(
                choices, before, Shapes(self.start, number, self.head_dim)
            )
        return part

    def shapes(self) -> list[Shape]:
        """The shapes that enter the blocks. Raises ValueError if a part cannot stand where it
        does."""
        if not self.has_tokens_changed:
            return [self.start] * self.depth
        return [shape for part, shape in self._met() if part is None]

    def shapes_before(self, kind: type[Part] | None) -> list[Shape]:
        """The shapes that enter the parts of that kind after blocks. Raises ValueError if a part
        cannot stand where it does."""
        return [shape for part, shape in self._met() if part is not None and type(part) is kind]

    def _met(self) -> Iterator[tuple[Part | None, Shape]]:
        """None for each block and the parts after it, with the shapes that enter them."""
        shape = self.start
        for block in range(self.depth):
            yield None, shape
            for role in ROLES:
                part = self.roles[role][block]
                if part is not None:
                    shape = self._grown(part, shape.dim).after(shape)
            for part in self.then[block]:
                yield part, shape
                shape = part.after(shape)

    def _grown(self, part: Any, dim: int) -> Any:
        """The part where tokens are that wide: with as many more heads."""
        if not self.widened or dim == self.start.dim or not hasattr(part, "num_heads"):
            return part
        return _with_heads(part, part.num_heads * dim, self.start.dim)

    def is_possible(self) -> bool:
        """Whether every part can stand where it does."""
        try:
            self.architecture()
        except ValueError:
            return False
        return True

    def architecture(self) -> Architecture:
        """The network. Raises ValueError if a part cannot stand where it does."""
        attention, mlp, local = (self.roles[role] for role in ROLES)
        stages, first, shape = [], 0, self.start
        for end in sorted(self.cuts | {self.depth}):
            if end > first and self._is_cut(end):
                stage = Stage(
                    depth=end - first,
                    attention=self._grown(attention[first], shape.dim),
                    mlp=mlp[first],
                    local=local[first],
                    residual_scale=self.residual_scale,
                    layer_scale=self.layer_scale,
                    then=self.then[end - 1],
                )
                stages.append(stage)
                if self.widened:
                    shape = stage.at(shape, first).out
                first = end
        return Architecture(**self.image, stem=self.stem, stages=tuple(stages))

    def _is_cut(self, block: int) -> bool:
        """Whether that block differs from the one before it, or what is between them ends a stage:
        a stage of shared attention must not end where nothing is."""
        if block == self.depth or self.then[block - 1] or self.roles["attention"][block].changes():
            return True
        pairs = ((parts[block - 1], parts[block]) for parts in self.roles.values())
        return any(one is not other and one != other for one, other in pairs)

    @classmethod
    def of(cls, architecture: Architecture, bases: Bases) -> Draft:
        """The blocks of a network; `bases` as in a space that may hold it."""
        a = architecture
        names = ("img_size", "in_chans", "num_classes", "head", "donor_blocks", "variant")
        image = {name: getattr(a, name) for name in names}
        first = a.stages[0]
        draft = cls(
            image, a.stem, bases,
            residual_scale=first.residual_scale, layer_scale=first.layer_scale,
        )  # fmt: skip
        draft.widened = any(part.widens for stage in a.stages for part in stage.then)
        for place in a.walk():
            blocks = slice(place.first, place.first + place.stage.depth)
            for role in ROLES:
                part = getattr(place.stage, role)
                grown = draft.widened and place.shape.dim != draft.start.dim
                if grown and hasattr(part, "num_heads"):
                    part = _with_heads(part, part.num_heads * draft.start.dim, place.shape.dim)
                draft.roles[role][blocks] = [part] * place.stage.depth
            draft.then[blocks.stop - 1] = place.stage.then
            draft.cuts.add(blocks.stop)
        return draft


@lru_cache(maxsize=4096)
def _with_heads(part: Any, heads: int, over: int) -> Any:
    """The part with `heads / over` heads. Raises ValueError where these are not whole."""
    if heads % over:
        raise ValueError(f"`num_heads` must grow with the width, but {heads} / {over} is not whole")
    return dataclasses.replace(part, num_heads=heads // over)
