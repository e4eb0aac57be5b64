"""Which networks are one: an identity of architectures that ignores what changes nothing."""

from __future__ import annotations

from typing import Any

from space.architecture import Architecture, Pool


def architecture_key(architecture: Architecture) -> tuple[Any, ...]:
    """A hashable identity of the network that `architecture` spells."""
    a = architecture
    return (
        a.img_size,
        a.patch_size,
        a.in_chans,
        a.num_classes,
        a.embed_dim,
        a.depth,
        a.num_heads,
        a.mlp_hidden_dim,
        a.reattention,
        tuple(pool.after for pool in a.pools),
        pool_shape_key(a.grid_tokens, a.pools),
        a.head,
        a.stem,
        bool(a.reattention) and a.reattention_scale,
        float(a.residual_scale),
    )


def pool_shape_key(tokens: int, pools: tuple[Pool, ...]) -> tuple[tuple[int, int, str], ...]:
    """What pools do, apart from their places: a stride matters only if two windows fit, and the
    operation only if a window holds two tokens."""
    shapes = []
    for pool in pools:
        tokens = pool.tokens_after(tokens)
        stride = pool.stride if tokens > 1 else 0
        shapes.append((pool.kernel_size, stride, pool.op if pool.kernel_size > 1 else "max"))
    return tuple(shapes)


def possible_stages(tokens: int, kernel: int, stride: int, most: int) -> int:
    """How many pools in a row, at most `most`, each leave fewer tokens and at least one."""
    for stage in range(most):
        left = (tokens - kernel) // stride + 1
        if not 1 <= left < tokens:
            return stage
        tokens = left
    return most
