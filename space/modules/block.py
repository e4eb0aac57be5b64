"""A block, put together from its parts, and blocks in a row, which hand on what later ones need."""

# No `from __future__ import annotations`: torch.fx and TorchScript read those of `forward`.

import contextlib
from collections.abc import Generator
from typing import Any

from timm.layers import DropPath, LayerScale, create_act_layer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from space.architecture import Architecture
from space.modules.norms import norm_of
from space.parts.part import Part, Shape
from space.stage import Stage
from space.variant import OURS, Variant

LAYER_SCALE = 1e-5  # that blocks with layer scale begin with


class Block(nn.Module):
    """Pre-norm block `x + f(LN(r x)) / r` for attention and MLP, then what is done to the tokens:
    a module for each part, named by its kind (`pool`)."""

    def __init__(
        self,
        stage: Stage,
        shape: Shape,
        then: tuple[tuple[Part, Shape], ...],
        *,
        index: int,
        drop_path: float,
        variant: Variant = OURS,
    ) -> None:
        """`index`: of the block in its stage; `then`: the parts after it with their shapes."""
        super().__init__()
        self.residual_scale = float(stage.residual_scale)
        eps = variant.norm_eps
        self.norm1 = norm_of(variant, shape.dim)
        self.attn: Any = stage.attention.at(index).build(shape)
        inside = stage.attention.after(shape)
        self.norm2 = norm_of(variant, inside.dim)
        self.mlp: Any = stage.mlp.at(index).build(inside)
        if variant.qk_norm:
            self.attn.q_norm = nn.LayerNorm(self.attn.head_dim, eps=eps)
            self.attn.k_norm = nn.LayerNorm(self.attn.head_dim, eps=eps)
        if variant.act_layer != OURS.act_layer:
            self.mlp.act = create_act_layer(variant.act_layer)
        scaled = stage.layer_scale
        self.ls1 = LayerScale(inside.dim, LAYER_SCALE) if scaled else nn.Identity()
        self.ls2 = LayerScale(inside.dim, LAYER_SCALE) if scaled else nn.Identity()
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.carries = getattr(self.attn, "carries", False)
        self.has_shortcut = hasattr(self.attn, "shortcut")
        self.has_between = hasattr(self.attn, "between")
        self.hands_on = self.carries or self.has_between  # it cannot be computed again later
        self.local = None if stage.local is None else stage.local.at(index).build(shape)
        self.after: list[str] = []
        for part, seen in then:
            name = part.kind.rpartition(":")[2].lower()
            while hasattr(self, name):
                name += "_"
            self.add_module(name, part.build(seen))
            self.after.append(name)

    def forward(
        self, x: Tensor, keep: Tensor | None = None, carried: dict[str, Tensor] | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """(B, N, C) to (B, N', C). With a part that masks tokens in training, also which of them
        are kept (B, N), for the attention of the blocks that follow.

        `carried`: what attention hands on in this forward (sizes of merged tokens, shared maps).
        """
        r, carried = self.residual_scale, {} if carried is None else carried
        normed = self.norm1(x * r if r != 1.0 else x)
        told = (carried,) if self.carries else () if keep is None else (keep,)
        mixed = self.ls1(self.attn(normed, *told))
        branch = None if self.local is None else self.local(x)
        x = self.attn.shortcut(x, normed) if self.has_shortcut else x
        x = x + self.drop_path(mixed if r == 1.0 else mixed / r)
        x = self.attn.between(x, carried) if self.has_between else x
        out = self.ls2(self.mlp(self.norm2(x if r == 1.0 else x * r)))
        x = x + self.drop_path(out if r == 1.0 else out / r)
        if branch is not None:
            x = x + branch
        for name in self.after:
            module = getattr(self, name)
            out = module(x) if keep is None else module(x, keep)
            x, keep = out if isinstance(out, tuple) else (out, keep)
            carried.clear()
        return x if keep is None else (x, keep)


class Blocks(nn.Sequential):
    """Blocks in a row, which hand on what tokens are kept if one of them masks some in training."""

    # From `mask_from` on all that come before that one have a mask too, of tokens that are all
    # kept: the masked softmax is not quite the plain one.

    def __init__(self, *blocks: Block, mask_from: int | None) -> None:
        super().__init__(*blocks)
        self.mask_from = mask_from
        self.grad_checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        state: tuple[Tensor, ...] = (x,)
        carried: dict[str, Tensor] = {}
        for index, block in enumerate(self):
            state = self.step(index, block, state, carried)
        return state[0]

    def step(
        self, index: int, block: nn.Module, state: tuple[Tensor, ...], carried: dict[str, Tensor]
    ) -> tuple[Tensor, ...]:
        """What leaves a block: the tokens and, where some are masked, which are kept."""
        if index == self.mask_from and self.training:
            state = (state[0], state[0].new_ones(state[0].shape[:2]))
        if self.grad_checkpointing and self.training:
            return _checkpointed(block, state, carried)
        out = block(*state, carried=carried)
        return out if isinstance(out, tuple) else (out,)

    def keep(self, architecture: Architecture) -> None:
        """Leaves out the blocks behind those of `architecture`, the first of these."""
        del self[architecture.depth :]
        self.mask_from = mask_from(architecture)


def _checkpointed(
    block: nn.Module, state: tuple[Tensor, ...], carried: dict[str, Tensor]
) -> tuple[Tensor, ...]:
    """A block whose activations are computed again in the backward pass."""

    # What is carried goes in and out as a copy: the second run must find what the first one did.
    def run(state: tuple[Tensor, ...], carried: dict[str, Tensor]) -> Any:
        carried = dict(carried)
        out = block(*state, carried=carried)
        return (out if isinstance(out, tuple) else (out,)), carried

    out, handed_on = checkpoint(
        run,
        state,
        dict(carried),
        use_reentrant=False,
        context_fn=lambda: (contextlib.nullcontext(), _statistics_kept(block)),
    )
    carried.clear()
    carried.update(handed_on)
    return out


@contextlib.contextmanager
def _statistics_kept(block: nn.Module) -> Generator[None]:
    """Running statistics are as before: those of the second run were gathered in the first."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    buffers = [buffer for norm in norms for buffer in norm.buffers()]
    kept = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, kept, strict=True):
            buffer.copy_(value)


def mask_from(a: Architecture) -> int | None:
    """The first of the blocks that can have a mask, up to one that masks tokens in training."""
    first = 0
    for place in a.walk():
        if not place.stage.attention.takes_mask:
            first = place.first + place.stage.depth
        if any(part.masks for part, _, _ in place.then):
            return first
        if not all(part.takes_mask for part, _, _ in place.then):
            first = place.first + place.stage.depth
    return None
