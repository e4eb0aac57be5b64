"""`Variant`: what pretrained Vision Transformers have that ours have not, by timm's names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from space.parts.part import Part
from space.rules import LIMITS, check_fields, flag, from_dict, integer, number, one_of

ACTIVATIONS = ("gelu", "gelu_tanh", "quick_gelu", "relu6")
NORMS = ("layer", "batch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Options of timm's `VisionTransformer` that a network has from its donor, or from the paper
    of its blocks; by default ours."""

    # `norm_layer`: of blocks and behind the last. `class_token`: one whose head takes the mean of
    # the others. `fc_norm`: the last norm stands behind the pooling of the head.

    norm_layer: Annotated[str, one_of(*NORMS)] = "layer"
    norm_eps: Annotated[float, number(above=0.0, high=1.0)] = 1e-6
    final_norm: Annotated[bool, flag()] = True
    act_layer: Annotated[str, one_of(*ACTIVATIONS)] = "gelu"
    qk_norm: Annotated[bool, flag()] = False
    pre_norm: Annotated[bool, flag()] = False
    fc_norm: Annotated[bool, flag()] = False
    class_token: Annotated[bool, flag()] = False
    reg_tokens: Annotated[int, integer(0, LIMITS["embed_dim"])] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.fc_norm and not self.final_norm:
            raise ValueError(
                "`fc_norm` (=True) is where the last norm stands, but `final_norm` is False: leave "
                "out one of them."
            )

    def prefix(self, head: str) -> int:
        """How many tokens stand before those of the image."""
        return (head == "token" or self.class_token) + self.reg_tokens

    def params(self, start: int, end: int, head_dims: tuple[int, ...]) -> int:
        """Learned parameters of its norms beside those of blocks, where tokens begin and end that
        wide; `head_dims`: the width of a head in each block."""
        heads = sum(4 * width for width in head_dims) * self.qk_norm
        return 2 * start * self.pre_norm + 2 * end * self.final_norm + heads

    def check(self, attention: Part, mlp: Part) -> None:
        """Raises ValueError on a block that cannot have these options."""
        for option, part, kind in (
            ("qk_norm", attention, "plain"),
            ("act_layer", mlp, "mlp"),
        ):
            if getattr(self, option) != getattr(OURS, option) and part.kind != kind:
                raise ValueError(
                    f"`{option}` (={getattr(self, option)!r}) of a network is that of kind "
                    f"{kind!r} alone, but a block has {part.kind!r}: leave one of them out."
                )

    def to_dict(self) -> dict[str, Any]:
        """Its options that are not ours, as plain JSON."""
        fields = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {name: value for name, value in fields if value != getattr(OURS, name)}


OURS = Variant()


def read_variant(values: Variant | Mapping[str, Any]) -> Variant:
    """The variant of a plain dict; one is itself. Raises ValueError."""
    return values if isinstance(values, Variant) else from_dict(Variant, "variant", values)
