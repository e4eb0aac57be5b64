"""Kinds of parts that are not ours: an attention, one that changes tokens, one with a loss."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import nn

from space import Part, Shape
from space.parts import Mark
from space.placements import After, Among
from space.rules import integer, number


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanAttention(Part):
    """Every token receives the mean of the values of all."""

    kind: ClassVar[str] = "mean"
    mark: ClassVar[Mark] = Mark("M", "#123456", "#abcdef")
    placement: ClassVar[Among] = Among(
        role="attention", table="mean", choices={"gain": (number(above=0.0, high=9.0), (1.0,))}
    )
    gain: Annotated[float, number(above=0.0, high=9.0)] = 1.0

    def flops(self, shape: Shape) -> int:
        return shape.length * shape.dim * shape.dim

    def params(self, shape: Shape) -> int:
        return shape.dim * (shape.dim + 1)

    def build(self, shape: Shape) -> nn.Module:
        return Mean(shape.dim, self.gain)

    def words(self) -> str:
        return "<mean> attention"


class Mean(nn.Module):
    def __init__(self, dim, gain):
        super().__init__()
        self.value, self.gain = nn.Linear(dim, dim), gain

    def forward(self, x):
        return (self.gain * self.value(x).mean(dim=1, keepdim=True)).expand_as(x)


@dataclass(frozen=True, slots=True, kw_only=True)
class Every(Part):
    """Only every `step`-th token stays."""

    kind: ClassVar[str] = "every"
    mark: ClassVar[Mark] = Mark("", "#654321", "#fedcba")
    placement: ClassVar[After] = After(table="every", choices={"step": (integer(2, 9), (2,))})
    step: Annotated[int, integer(2, 9)] = 2

    def after(self, shape: Shape) -> Shape:
        if shape.tokens < self.step:
            raise ValueError(f"`step` (={self.step}) must be at most {shape.tokens} tokens.")
        return shape._replace(grid=None, tokens=-(-shape.tokens // self.step))

    def flops(self, shape: Shape) -> int:
        return 0

    def params(self, shape: Shape) -> int:
        return 0

    def build(self, shape: Shape) -> nn.Module:
        return Stepping(shape.prefix, self.step)

    def words(self) -> str:
        return f"every {self.step}"


class Stepping(nn.Module):
    def __init__(self, prefix, step):
        super().__init__()
        self.prefix, self.step = prefix, step

    def forward(self, x):
        return torch.cat([x[:, : self.prefix], x[:, self.prefix :: self.step]], dim=1)


@dataclass(frozen=True)
class Sparse:
    """One linear layer with a loss on how large its output is; says no more than it must."""

    kind: ClassVar[str] = "sparse"
    placement: ClassVar[Among] = Among(role="mlp", table="sparse")

    def flops(self, shape):
        return shape.length * shape.dim * shape.dim

    def params(self, shape):
        return shape.dim * (shape.dim + 1)

    def build(self, shape):
        return Penalised(shape.dim)


class Penalised(nn.Module):
    calls = 0

    def __init__(self, dim):
        super().__init__()
        self.fc, self.out = nn.Linear(dim, dim), None

    def forward(self, x):
        self.out = self.fc(x)
        return self.out

    def loss(self):
        type(self).calls += 1
        out, self.out = self.out, None
        return None if out is None else out.square().mean()
