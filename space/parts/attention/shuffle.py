"""`Shuffle`: the attention of Shuffle Transformer and the convolution behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from space.parts.attention.window import DILATIONS, check_windows, dilated_at, dilated_words
from space.parts.part import Mark, Part, Shape
from space.placements import Among, Placement
from space.rules import LIMITS, integer

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Shuffle(Part):
    """Windows without a bias of queries, keys and values, then `x + DWConv(BN(x))` before the MLP
    (arXiv 2106.03650), as wide as a window: the paper's are odd, behind even ones it is one wider.
    The paper's BatchNorm and ReLU6 are `norm_layer` and `act_layer` of a network's variant."""

    kind: ClassVar[str] = "shuffle"
    mark: ClassVar[Mark] = Mark("X", "#a1631c", "#dba86a")
    placement: ClassVar[Placement] = Among(
        role="attention",
        anywhere=False,
        table="shuffle",
        choices={"size": (integer(1, 64), (4,)), "dilate": (DILATIONS, ("alternate",))},
    )
    feature_names: ClassVar[tuple[str, ...]] = ("share",)
    qkv_bias: ClassVar[bool] = False
    gaze: ClassVar[int] = 0  # it has a convolution of its own
    num_heads: Annotated[int, integer(1, LIMITS["num_heads"])]
    size: Annotated[int, integer(1, 64)]
    dilate: Annotated[str, DILATIONS] = "alternate"

    @property
    def kernel_size(self) -> int:
        """Of its convolution."""
        return self.size | 1

    def at(self, index: int) -> Shuffle:
        return dilated_at(self, index)

    def after(self, shape: Shape) -> Shape:
        check_windows(shape, self.num_heads, self.size)
        return shape

    def flops(self, shape: Shape) -> int:
        mixing = 2 * self.size**2 + self.kernel_size**2
        return shape.tokens * shape.dim * (4 * shape.dim + mixing)

    def params(self, shape: Shape) -> int:
        table = (2 * self.size - 1) ** 2 * self.num_heads
        return shape.dim * (4 * shape.dim + 1) + table + shape.dim * (self.kernel_size**2 + 2)

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.windows import ShuffleAttention

        return ShuffleAttention(self, shape)

    def words(self) -> str:
        return f"shuffle {self.size}{dilated_words(self.dilate)}"

    def key(self, shape: Shape) -> Any:
        """A window of one token or of all is the same, however it lies."""
        same = self.size == 1 or shape.grid == (self.size, self.size)
        return ("shuffle", self.num_heads, self.size, self.dilate == "yes" and not same)

    def features(self, shape: Shape) -> dict[str, float]:
        return {"share": self.size**2 / shape.tokens}
