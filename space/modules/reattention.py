"""DeepViT's Re-attention."""

from __future__ import annotations

import torch
from timm.models import register_notrace_module
from torch import Tensor, distributed, nn
from torch.func import functional_call

from space.modules.attention import kept_softmax

FOLDED: tuple[type[nn.Module], ...] = (nn.BatchNorm2d, nn.SyncBatchNorm)


@register_notrace_module
class ReAttention(nn.Module):
    """`BatchNorm(Conv1x1(softmax(q k^T / sqrt(d)))) @ v` over H heads (arXiv 2103.11886, eq. 3).
    `map_scale` multiplies the mixed maps. Parameters carry the names of the authors' code."""

    # The convolution and the BatchNorm are run as such only where another norm stands in the place
    # of ours (frozen, fused). Else: every row of a softmax sums to 1, so each head's map has mean
    # 1/N exactly, and with `A0 = A - 1/N` the batch statistics of the mixed maps follow from one
    # H x H Gram matrix of A0. Training and evaluation are then one mixing matrix M and one constant
    # c per head: `out_h = (sum_g M[h, g] A0_g) V_h + c_h sum_tokens(V_h)`. Exact, and safe in bf16,
    # where the convolution of nearly uniform maps is not.

    def __init__(self, dim: int, num_heads: int, *, scale_maps: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.synchronised = False  # True: statistics are those of all workers of a training
        self.map_scale = self.head_dim**-0.5 if scale_maps else 1.0
        self.qkv = nn.Linear(dim, 3 * dim)
        self.reatten_matrix = nn.Conv2d(num_heads, num_heads, 1)
        self.var_norm = nn.BatchNorm2d(num_heads)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, N, C) to (B, N, C); tokens whose `keep` (B, N) is 0 are not attended to."""
        batch, tokens, dim = x.shape
        maps, v = self._maps(x, keep)  # (B, H, N, N), (B, H, N, d)
        if not self._is_folded():
            out = self._normed(maps).to(v.dtype) @ v
        else:
            centred = maps - 1.0 / tokens  # before the maps are rounded
            matrix, constant = self._mixing(centred)
            matrix = matrix.to(v.dtype).expand(batch, -1, -1)  # matmul of (H, H) would copy maps
            mixed = torch.bmm(matrix, centred.to(v.dtype).flatten(2)).view(centred.shape)
            out = mixed @ v + constant.to(v.dtype)[:, None, None] * v.sum(
                -2, keepdim=True, dtype=v.dtype
            )
        return self.proj(out.transpose(1, 2).reshape(batch, tokens, dim))

    def attention_maps(self, x: Tensor) -> Tensor:
        """The mixed maps (B, H, N, N) that `forward` applies to the values; no state changes."""
        maps, _ = self._maps(x)
        if not self._is_folded():
            return self._normed(maps, update=False)
        centred = maps - 1.0 / x.shape[1]
        matrix, constant = self._mixing(centred, update=False)
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
        norm, (maps, _), mean = self.var_norm, self._maps(x), 1.0 / x.shape[1]
        variance = (maps - mean).square().mean((0, 2, 3))
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_var.copy_(variance)
        norm.running_mean.fill_(mean)
        norm.weight.copy_((variance + norm.eps).sqrt() / self.map_scale)
        norm.bias.fill_(mean / self.map_scale)

    def _maps(self, x: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The maps (B, H, N, N) before they are mixed, at least float32, and the values."""
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q * self.head_dim**-0.5) @ k.transpose(-2, -1)
        if scores.dtype in (torch.bfloat16, torch.float16):
            scores = scores.float()
        return (scores.softmax(-1) if keep is None else kept_softmax(scores, keep)), v

    def _is_folded(self) -> bool:
        """Whether the norm is one whose result follows from the Gram matrix."""
        norm = self.var_norm
        return type(norm) in FOLDED and type(self.reatten_matrix) is nn.Conv2d

    def _normed(self, maps: Tensor, *, update: bool = True) -> Tensor:
        """The mixed maps of convolution and norm run as modules, at their own precision."""
        norm, dtype = self.var_norm, next(self.reatten_matrix.parameters()).dtype
        buffers = {} if update else {name: b.clone() for name, b in norm.named_buffers()}
        with torch.autocast(maps.device.type, enabled=False):
            mixed = self.reatten_matrix(maps.to(dtype))
            mixed = functional_call(norm, buffers, (mixed,)) if buffers else norm(mixed)
            return mixed * self.map_scale

    def _mixing(self, centred: Tensor, *, update: bool = True) -> tuple[Tensor, Tensor]:
        """The mixing matrix (H, H) and constant (H,) under the statistics that the norm would take:
        those of this batch in its own training or where it keeps none."""
        norm = self.var_norm
        if norm.training or norm.running_mean is None:
            return self._mixing_of_batch(centred, update=update)
        return self._mixing_of_running_statistics(centred.shape[-1])

    def _parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The convolution's weight (H, H) and bias and the norm's (H,), at least float32."""
        conv, norm, heads = self.reatten_matrix, self.var_norm, self.num_heads
        weight = _precise(conv.weight.view(heads, heads))
        bias = weight.new_zeros(heads) if conv.bias is None else _precise(conv.bias)
        if norm.weight is None:  # affine=False
            return weight, bias, weight.new_ones(heads), weight.new_zeros(heads)
        return weight, bias, _precise(norm.weight), _precise(norm.bias)

    def _mixing_of_batch(self, centred: Tensor, *, update: bool) -> tuple[Tensor, Tensor]:
        batch, _, tokens, _ = centred.shape
        norm: nn.BatchNorm2d | nn.SyncBatchNorm = self.var_norm
        weight, bias, scale, shift = self._parts()
        with torch.autocast(centred.device.type, enabled=False):
            flat = centred.flatten(2)
            gram = (flat @ flat.transpose(1, 2)).sum(0)  # (H, H)
            count: int | Tensor = batch * tokens * tokens
            together = self.synchronised or (isinstance(norm, nn.SyncBatchNorm) and norm.training)
            if together and _are_many():
                group = getattr(norm, "process_group", None)
                gram, count = _over_processes(gram, batch * tokens * tokens, group)
            gram = gram / count
            variance = ((weight @ gram) * weight).sum(1)
            matrix = (scale * (variance + norm.eps).rsqrt())[:, None] * weight
        if update and norm.training and norm.running_mean is not None:
            self._update_running_statistics(weight.sum(1) / tokens + bias, variance, count)
        # BatchNorm removes the convolution's bias; it stays in the graph with a gradient of zero.
        constant = shift + 0.0 * bias
        return matrix * self.map_scale, constant * self.map_scale

    def _mixing_of_running_statistics(self, tokens: int) -> tuple[Tensor, Tensor]:
        """BatchNorm folded into the convolution, and the maps' mean 1/N into the constant."""
        norm = self.var_norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        weight, bias, scale, shift = self._parts()
        gain = scale * (_precise(norm.running_var) + norm.eps).rsqrt()
        mean = weight.sum(1) / tokens + bias
        constant = gain * (mean - norm.running_mean) + shift
        return gain[:, None] * weight * self.map_scale, constant * self.map_scale

    @torch.no_grad()
    def _update_running_statistics(
        self, mean: Tensor, variance: Tensor, count: int | Tensor
    ) -> None:
        norm = self.var_norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked += 1
        # momentum None is a cumulative average, as in torch.nn.BatchNorm2d
        rate = norm.momentum if norm.momentum is not None else 1.0 / norm.num_batches_tracked
        less = max(count - 1, 1) if isinstance(count, int) else (count - 1).clamp(min=1)
        unbiased = variance * (count / less)
        # Not `running += rate * (new - running)`: that rounds variances near 1e-7 off beside 1.
        norm.running_mean.mul_(1.0 - rate).add_(rate * mean)
        norm.running_var.mul_(1.0 - rate).add_(rate * unbiased)


def _precise(parameter: Tensor) -> Tensor:
    """At least float32: what is left of half precision is too coarse for statistics of maps."""
    half = parameter.dtype in (torch.bfloat16, torch.float16)
    return parameter.float() if half else parameter


def _are_many() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _over_processes(
    gram: Tensor, count: int, group: distributed.ProcessGroup | None
) -> tuple[Tensor, Tensor]:
    """The Gram matrix and the count (1,) summed over the processes of `group`, with gradients."""
    from torch.distributed.nn.functional import all_reduce

    both = torch.cat([gram.flatten(), gram.new_full((1,), count)])
    both = all_reduce(both, group=group or distributed.group.WORLD)  # type: ignore[no-untyped-call]
    return both[:-1].view(gram.shape), both[-1:]
