"""FLOPs and parameters of an architecture in closed form, in integer arithmetic, without torch."""

from __future__ import annotations

from bisect import bisect_left

from space.architecture import STEM_CHANS, Architecture


def count_flops(architecture: Architecture) -> int:
    """Multiply-accumulates of one forward pass on one image.

    Convention: DeiT's, HVT's and DeepViT's papers, timm's GMACs and fvcore: convolutions, linear
    layers and matrix products, both attention products included; norms, softmax, activations,
    pooling and additions excluded. A block on n tokens of width C with H heads and MLP width h:
    `4 n C^2 + 2 n^2 C + 2 n C h`, and `H^2 n^2` more with Re-attention.
    Equal to `measure_flops(build_model(architecture), ...)` to the last digit. About 2 us.
    """
    a = architecture
    dim, hidden, depth = a.embed_dim, int(a.embed_dim * a.mlp_ratio), a.depth
    grid = (a.img_size // a.patch_size) ** 2
    prefix = 1 if a.head == "token" else 0
    per_token = 4 * dim * dim + 2 * dim * hidden
    reattention, mixing = a.reattention, a.num_heads * a.num_heads
    flops, start, first, tokens = 0, 0, 0, grid
    for pool in a.pools:
        end = pool.after + 1
        last = bisect_left(reattention, end) if reattention else 0
        n = tokens + prefix
        flops += n * ((end - start) * (per_token + 2 * n * dim) + (last - first) * mixing * n)
        start, first = end, last
        tokens = (tokens - pool.kernel_size) // pool.stride + 1
    n = tokens + prefix
    flops += n * (
        (depth - start) * (per_token + 2 * n * dim) + (len(reattention) - first) * mixing * n
    )
    return flops + _stem_flops(a, grid) + dim * a.num_classes


def _stem_flops(a: Architecture, grid: int) -> int:
    if a.stem == "patch":
        return a.patch_size**2 * a.in_chans * a.embed_dim * grid
    half = (a.img_size // 2) ** 2
    convs = (7 * 7 * a.in_chans * STEM_CHANS + 3 * 3 * STEM_CHANS * STEM_CHANS) * half
    return convs + (a.patch_size // 2) ** 2 * STEM_CHANS * a.embed_dim * grid


def count_params(architecture: Architecture) -> int:
    """Learned parameters (BatchNorm's running statistics are buffers), in closed form."""
    a = architecture
    dim, hidden, prefix = a.embed_dim, a.mlp_hidden_dim, int(a.head == "token")
    norms = 2 * 2 * dim
    attention = 3 * dim * (dim + 1) + dim * (dim + 1)
    mlp = hidden * (dim + 1) + dim * (hidden + 1)
    mixing = a.num_heads**2 + a.num_heads + 2 * a.num_heads  # 1x1 convolution and BatchNorm
    if a.stem == "patch":
        stem = dim * (a.patch_size**2 * a.in_chans + 1)
    else:
        stem = 49 * a.in_chans * STEM_CHANS + 9 * STEM_CHANS**2 + 2 * 2 * STEM_CHANS
        stem += dim * ((a.patch_size // 2) ** 2 * STEM_CHANS + 1)
    tokens = a.grid_tokens
    positions = tokens + prefix
    for pool in a.pools:
        tokens = pool.tokens_after(tokens)
        positions += tokens + prefix
    embeddings = dim * (positions + prefix)
    head = 2 * dim + a.num_classes * (dim + 1)
    blocks = a.depth * (norms + attention + mlp) + len(a.reattention) * mixing
    return stem + embeddings + blocks + head
