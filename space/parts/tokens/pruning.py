"""`Pruning`: DynamicViT's predictor of which tokens to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from space.parts.part import Mark, Part, Shape, Shapes
from space.placements import After, Placement
from space.rules import MAX_TOKENS, integer, number

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning(Part):
    """A small network scores the tokens; the best `keep` of the `of` that there were stay (arXiv
    2106.02034). A class token goes by; the grid is lost."""

    # In training all tokens stay, the attention of later blocks leaves out those that were not
    # drawn, and a loss draws their share to `keep`.

    kind: ClassVar[str] = "pruning"
    mark: ClassVar[Mark] = Mark("", "#c0504d", "#e08784", words="tokens pruned")
    takes_mask: ClassVar[bool] = True
    masks: ClassVar[bool] = True
    placement: ClassVar[Placement] = After(
        table="pruning", choices={"keep": (number(above=0.0, below=1.0), (0.7,))}
    )
    feature_names: ClassVar[tuple[str, ...]] = ("keep",)
    keep: Annotated[float, number(above=0.0, below=1.0)]
    of: Annotated[int, integer(2, MAX_TOKENS)]

    @property
    def kept(self) -> int:
        """Number of tokens that stay, rounded down as in the authors' code."""
        return int(self.of * self.keep)

    def after(self, shape: Shape) -> Shape:
        if not 1 <= self.kept < shape.tokens:
            raise ValueError(
                f"A pruning must leave at least 1 and fewer tokens than enter it, but "
                f"keep={self.keep:g} of {self.of} leaves {self.kept} of {shape.tokens}: choose "
                "another share, or prune elsewhere."
            )
        if shape.dim < 4:
            raise ValueError(
                f"`dim` (={shape.dim}) must be at least 4 where tokens are pruned: the predictor "
                "has a layer of a quarter of it."
            )
        return Shape(None, self.kept, shape.prefix, shape.dim)

    def flops(self, shape: Shape) -> int:
        dim, half, quarter = shape.dim, shape.dim // 2, shape.dim // 4
        return shape.tokens * (dim * dim + dim * half + half * quarter + 2 * quarter)

    def params(self, shape: Shape) -> int:
        dim, half, quarter = shape.dim, shape.dim // 2, shape.dim // 4
        layers = dim * (dim + 1) + half * (dim + 1) + quarter * (half + 1) + 2 * (quarter + 1)
        return 2 * dim + layers

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.pruning import TokenPruning

        return TokenPruning(self, shape)

    def words(self) -> str:
        return f"keep {self.keep:.3g}"

    def features(self, shape: Shape) -> dict[str, float]:
        return {"keep": self.keep}

    @classmethod
    def placed(cls, choices: Mapping[str, Any], before: Part | None, shapes: Shapes) -> Self:
        """The next stage of pruning: the share is multiplied anew at each."""
        return cls(keep=choices["keep"] ** (shapes.number + 1), of=shapes.start.tokens)
