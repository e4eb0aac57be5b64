"""What a part is: a frozen value that answers questions about itself, given the shape it sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self

from space.placements import Placement
from space.rules import check_fields, field_names, from_dict, to_dict

if TYPE_CHECKING:
    from torch import nn


class Shape(NamedTuple):
    """What travels through a network: `tokens` of width `dim`, on a `grid` (rows, columns) or on
    none, behind `prefix` class tokens. An image is one too: a grid of pixels, as wide as its
    channels."""

    grid: tuple[int, int] | None
    tokens: int
    prefix: int
    dim: int

    @property
    def length(self) -> int:
        """Tokens in all, those of the prefix included."""
        return self.tokens + self.prefix


@dataclass(frozen=True, slots=True)
class Mark:
    """How the drawing shows a kind: a letter below its blocks (or none), and a colour for light and
    for dark pages. `name`: its class in the style sheet, if that has rules; `words`: what the key
    of the drawings says of it, by default the part's own words."""

    letter: str = ""
    colour: str = "#3b9c8f"
    dark: str = "#5cc0b2"
    name: str = "part"
    words: str = ""


class Part(Protocol):
    """A stem, an attention, an MLP, a local branch, or what is done to tokens after a stage.
    Subclasses say `kind`, `flops`, `params` and `build`; `space.rules` reads, checks and writes
    their fields."""

    kind: ClassVar[str]
    placement: ClassVar[Placement | None] = None  # its table in a space file, choices and defaults
    mark: ClassVar[Mark] = Mark()
    takes_mask: ClassVar[bool] = False  # an attention that can leave tokens out, `forward(x, keep)`
    # In training its tokens stay, and the attention of later blocks leaves some of them out.
    masks: ClassVar[bool] = False
    widens: ClassVar[bool] = False  # after it tokens may be wider, and heads as many more
    places_prefix: ClassVar[bool] = True  # a stem whose class token has a position beside its own
    # It stands only where tokens are on a grid: a placement looks at the shape before a block.
    needs_grid: ClassVar[bool] = False
    feature_names: ClassVar[tuple[str, ...]] = ()  # of `features`, also where there is no part

    def __post_init__(self) -> None:
        check_fields(self)

    def __hash__(self) -> int:
        """Parts are values: a frozen dataclass brings the hash of its fields."""
        return object.__hash__(self)

    def after(self, shape: Shape) -> Shape:
        """The shape that leaves it. Raises ValueError naming rule, values and fix."""
        return shape

    def flops(self, shape: Shape) -> int:
        """Multiply-accumulates on one image."""
        ...

    def params(self, shape: Shape) -> int:
        """Learned parameters."""
        ...

    def build(self, shape: Shape) -> nn.Module:
        """Its module. Imports what it needs of torch inside: `import space` stays free of it."""
        ...

    def words(self) -> str:
        """For people, in tables and tooltips: "max 3/2"."""
        return self.kind

    def at(self, index: int) -> Part:
        """The part as the block of that index in its stage has it; usually itself."""
        return self

    def changes(self) -> bool:
        """Whether an attention changes the tokens of its block, which is then a stage by itself."""
        return False

    def key(self, shape: Shape) -> Any:
        """Equal for two spellings of one thing; usually the part itself."""
        return self

    def features(self, shape: Shape) -> dict[str, float]:
        """What the surrogate is told of it, beside where it stands: values of `feature_names`."""
        return {}

    @classmethod
    def placed(cls, choices: Mapping[str, Any], before: Part | None, shapes: Shapes) -> Self:
        """The part a placement puts in, from the choices of its table. `before` is the part that it
        takes the place of, whose fields it keeps where they have the same names."""
        kept = {
            name: getattr(before, name)
            for name in field_names(cls)
            if name not in choices and hasattr(before, name)
        }
        return cls(**kept, **choices)


class Shapes(NamedTuple):
    """What a part may know where it is put in: the shape behind the stem, how many of its kind
    stand before it, and the width of a head."""

    start: Shape
    number: int
    head_dim: int = 1


_DEFAULTS = (
    "placement",
    "mark",
    "takes_mask",
    "masks",
    "needs_grid",
    "places_prefix",
    "widens",
    "after",
    "words",
    "at",
    "changes",
    "key",
    "features",
    "feature_names",
)


def complete(kind: type) -> type:
    """The class with the defaults of `Part` for what it does not say, also where it is no subclass.
    Raises ValueError if it has not what every part needs."""
    missing = [name for name in ("kind", "flops", "params", "build") if not hasattr(kind, name)]
    if missing or not hasattr(kind, "__dataclass_fields__"):
        lacks = ", ".join(missing) or "`@dataclass(frozen=True)`"
        raise ValueError(
            f"A kind of part must be a frozen dataclass with kind, flops, params and build, but "
            f"{kind.__module__}:{kind.__qualname__} lacks {lacks}."
        )
    for name in (*_DEFAULTS, "placed"):
        if not hasattr(kind, name):
            setattr(kind, name, Part.__dict__[name])
    return kind


def part_to_dict(part: Part, name: str) -> dict[str, Any]:
    """Plain JSON of a part whose kind is called `name`."""
    return {"kind": name, **to_dict(part)}


def part_from_dict(kind: type[Part], values: Mapping[str, Any]) -> Part:
    """The part of plain JSON without its `kind`. Raises ValueError."""
    return from_dict(kind, kind.kind, values)
