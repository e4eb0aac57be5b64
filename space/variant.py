"""`Variant`: what pretrained Vision Transformers have that ours have not, by timm's names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from space.parts.part import Part
from space.rules import LIMITS, check_fields, flag, from_dict, integer, number, one_of

ACTIVATIONS = ("gelu", "gelu_tanh", "quick_gelu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Options of timm's `VisionTransformer` that a network has from its donor; by default ours."""

    # `class_token`: one whose head takes the mean of the others. `fc_norm`: the last norm stands
    # behind the pooling of the head.

    norm_eps: Annotated[float, number(above=0.0, high=1.0)] = 1e-6
    act_layer: Annotated[str, one_of(*ACTIVATIONS)] = "gelu"
    qk_norm: Annotated[bool, flag()] = False
    pre_norm: Annotated[bool, flag()] = False
    fc_norm: Annotated[bool, flag()] = False
    class_token: Annotated[bool, flag()] = False
    reg_tokens: Annotated[int, integer(0, LIMITS["embed_dim"])] = 0

    def __post_init__(self) -> None:
        check_fields(self)

    def prefix(self, head: str) -> int:
        """How many tokens stand before those of the image."""
        return (head == "token" or self.class_token) + self.reg_tokens

    def params(self, dim: int, head_dims: tuple[int, ...]) -> int:
        """Learned parameters of its norms; `head_dims`: the width of a head in each block."""
        return 2 * dim * self.pre_norm + sum(4 * width for width in head_dims) * self.qk_norm

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
