"""DeepViT's Re-attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from space.modules.attention import kept_softmax


class ReAttention(nn.Module):
    """`BatchNorm(Conv1x1(softmax(q k^T / sqrt(d)))) @ v` over H heads (arXiv 2103.11886, eq. 3).
    `map_scale` multiplies the mixed maps. Parameters carry the names of the authors' code."""

    # The convolution and the BatchNorm are never run as such: every row of a softmax sums to 1, so
    # each head's map has mean 1/N exactly, and with `A0 = A - 1/N` the batch statistics of the
    # mixed maps follow from one H x H Gram matrix of A0. Training and evaluation are then one
    # mixing matrix M and one constant c per head: `out_h = (sum_g M[h, g] A0_g) V_h + c_h
    # sum_tokens(V_h)`. Exact, and safe in bf16, where the convolution of nearly uniform maps is
    # not.

    def __init__(self, dim: int, num_heads: int, *, scale_maps: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.map_scale = self.head_dim**-0.5 if scale_maps else 1.0
        self.qkv = nn.Linear(dim, 3 * dim)
        self.reatten_matrix = nn.Conv2d(num_heads, num_heads, 1)
        self.var_norm = nn.BatchNorm2d(num_heads)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, N, C) to (B, N, C); tokens whose `keep` (B, N) is 0 are not attended to."""
        batch, tokens, dim = x.shape
        centred, v = self._centred_maps(x, keep)  # (B, H, N, N), (B, H, N, d)
        if self.training:
            matrix, constant = self._mixing_of_batch(centred)
        else:
            matrix, constant = self._mixing_of_running_statistics(tokens)
        matrix = matrix.to(v.dtype).expand(batch, -1, -1)  # matmul of (H, H) would copy the maps
        mixed = torch.bmm(matrix, centred.to(v.dtype).flatten(2)).view(centred.shape)
        out = mixed @ v + constant.to(v.dtype)[:, None, None] * v.sum(
            -2, keepdim=True, dtype=v.dtype
        )
        return self.proj(out.transpose(1, 2).reshape(batch, tokens, dim))

    def attention_maps(self, x: Tensor) -> Tensor:
        """The mixed maps (B, H, N, N) that `forward` applies to the values; no state changes."""
        centred, _ = self._centred_maps(x)
        if self.training:
            matrix, constant = self._mixing_of_batch(centred, update=False)
        else:
            matrix, constant = self._mixing_of_running_statistics(x.shape[1])
        mixed = torch.matmul(matrix, centred.flatten(2)).view(centred.shape)
        return mixed + constant[:, None, None]

    @torch.no_grad()
    def mix_nothing(self) -> None:
        """The unit matrix and no bias, so that every head keeps its map but for its scale."""
        assert self.reatten_matrix.bias is not None
        self.reatten_matrix.weight.copy_(torch.eye(self.num_heads)[:, :, None, None])
        self.reatten_matrix.bias.zero_()

    @torch.no_grad()
    def measure(self, x: Tensor) -> None:
        """Has the norm take back what it does to the maps of these tokens (B, N, C): where nothing
        is mixed, `forward` is then plain attention, by batch and by running statistics."""
        norm, (centred, _) = self.var_norm, self._centred_maps(x)
        variance, mean = centred.float().square().mean((0, 2, 3)), 1.0 / x.shape[1]
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_var.copy_(variance)
        norm.running_mean.fill_(mean)
        norm.weight.copy_((variance + norm.eps).sqrt() / self.map_scale)
        norm.bias.fill_(mean / self.map_scale)

    def _centred_maps(self, x: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q * self.head_dim**-0.5) @ k.transpose(-2, -1)
        if scores.dtype in (torch.bfloat16, torch.float16):
            scores = scores.float()  # 1/N must be subtracted before the maps are rounded
        maps = scores.softmax(-1) if keep is None else kept_softmax(scores, keep)
        return maps - 1.0 / tokens, v

    def _mixing_of_batch(self, centred: Tensor, *, update: bool = True) -> tuple[Tensor, Tensor]:
        """The mixing matrix (H, H) and constant (H,) under the statistics of this batch."""
        batch, heads, tokens, _ = centred.shape
        norm, count = self.var_norm, batch * tokens * tokens
        weight = self.reatten_matrix.weight.view(heads, heads)
        bias = self.reatten_matrix.bias
        assert bias is not None
        with torch.autocast(centred.device.type, enabled=False):
            flat = centred.flatten(2)
            gram = (flat @ flat.transpose(1, 2)).sum(0) / count  # (H, H)
            variance = ((weight @ gram) * weight).sum(1)
            matrix = (norm.weight * (variance + norm.eps).rsqrt())[:, None] * weight
        if update:
            self._update_running_statistics(weight.sum(1) / tokens + bias, variance, count)
        # BatchNorm removes the convolution's bias; it stays in the graph with a gradient of zero.
        constant = norm.bias + 0.0 * bias
        return matrix * self.map_scale, constant * self.map_scale

    def _mixing_of_running_statistics(self, tokens: int) -> tuple[Tensor, Tensor]:
        """BatchNorm folded into the convolution, and the maps' mean 1/N into the constant."""
        norm, heads = self.var_norm, self.num_heads
        assert norm.running_mean is not None
        assert norm.running_var is not None
        gain = norm.weight * (norm.running_var + norm.eps).rsqrt()
        weight = self.reatten_matrix.weight.view(heads, heads)
        bias = self.reatten_matrix.bias
        assert bias is not None
        mean = weight.sum(1) / tokens + bias
        constant = gain * (mean - norm.running_mean) + norm.bias
        return gain[:, None] * weight * self.map_scale, constant * self.map_scale

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, variance: Tensor, count: int) -> None:
        norm = self.var_norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked += 1
        # momentum None is a cumulative average, as in torch.nn.BatchNorm2d
        rate = norm.momentum if norm.momentum is not None else 1.0 / norm.num_batches_tracked
        unbiased = variance * (count / max(count - 1, 1))
        # Not `running += rate * (new - running)`: that rounds variances near 1e-7 off beside 1.
        norm.running_mean.mul_(1.0 - rate).add_(rate * mean)
        norm.running_var.mul_(1.0 - rate).add_(rate * unbiased)
