"""A kind of part of one's own: an MLP of one linear layer. Search with it by a space file's table
["new_part:Linear"]  placement = ["none", "suffix"]  in the folder of this file."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

import space
from space import Part, Shape
from space.placements import Among


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear(Part):
    """One linear layer in place of a block's MLP."""

    kind: ClassVar[str] = "linear"
    placement: ClassVar[Among] = Among(role="mlp", table="linear")

    def flops(self, shape: Shape) -> int:
        return shape.length * shape.dim * shape.dim

    def params(self, shape: Shape) -> int:
        return shape.dim * (shape.dim + 1)

    def build(self, shape: Shape) -> nn.Module:
        return nn.Linear(shape.dim, shape.dim)


if __name__ == "__main__":
    tiny = space.named("deit_tiny")
    stage = space.Stage(depth=12, attention=tiny.stages[0].attention, mlp=Linear())
    network = tiny.replace(stages=(stage,))
    counted = space.count_flops(network)
    assert counted == space.measure_flops(space.build_model(network), 224)
    print(f"{counted:,} FLOPs, {space.count_flops(tiny):,} with the usual MLP")
