"""Re-attention with a norm over two processes: each sees one part of a batch."""

from datetime import timedelta

import torch
from torch import distributed, nn

from space.modules.reattention import ReAttention


def halves():
    generator = torch.Generator().manual_seed(5)
    first, other = torch.randn(12, 17, 24, generator=generator, dtype=torch.float64).split([8, 4])
    return first, 3 * other + 2


def sharp():
    torch.manual_seed(0)
    attn = ReAttention(24, 3).double().train()
    with torch.no_grad():
        attn.qkv.weight.mul_(3)
    return attn


def one_process(rank, folder):
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2,
        timeout=timedelta(minutes=30),
    )  # fmt: skip
    attn = nn.SyncBatchNorm.convert_sync_batchnorm(sharp())
    out = attn(halves()[rank])
    out.square().sum().backward()
    grads = {name: p.grad for name, p in attn.named_parameters()}
    torch.save((attn.state_dict(), out.detach(), grads), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()
