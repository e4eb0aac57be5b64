"""Stems that timm does not have."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from space.parts.stems.conv import STEM_CHANS, Conv
from space.parts.stems.overlap import Overlap
from space.parts.stems.rvt import RVT, RVT_CHANS
from space.parts.stems.strided import Strided
from space.parts.stems.tokenizer import Tokenizer


class ConvStem(nn.Module):
    """DeepViT-S/L's patch embedding: 7x7/2 and 3x3 convolutions, then (p/2)x(p/2)/(p/2) to C."""

    def __init__(self, stem: Conv, *, in_chans: int) -> None:
        super().__init__()
        half = stem.patch_size // 2
        self.conv1 = nn.Conv2d(in_chans, STEM_CHANS, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANS)
        self.conv2 = nn.Conv2d(STEM_CHANS, STEM_CHANS, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(STEM_CHANS)
        self.proj = nn.Conv2d(STEM_CHANS, stem.dim, half, stride=half)

    def forward(self, x: Tensor) -> Tensor:  # (B, in_chans, S, S) -> (B, N, C)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.proj(x).flatten(2).transpose(1, 2)


class OverlapStem(nn.Module):
    """One convolution, its kernel larger than its stride."""

    def __init__(self, stem: Overlap, *, in_chans: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(
            in_chans, stem.dim, stem.kernel, stride=stem.patch_size, padding=stem.padding
        )

    def forward(self, x: Tensor) -> Tensor:  # (B, in_chans, S, S) -> (B, N, C)
        return self.proj(x).flatten(2).transpose(1, 2)


class RVTStem(nn.Module):
    """RVT's: 7x7/2 convolution, BatchNorm, 3x3/2 max-pooling, patches; no activation."""

    def __init__(self, stem: RVT, *, in_chans: int) -> None:
        super().__init__()
        side = stem.patch_size // 4
        self.conv = nn.Conv2d(in_chans, RVT_CHANS, 7, stride=2, padding=2)
        self.norm = nn.BatchNorm2d(RVT_CHANS)
        self.proj = nn.Conv2d(RVT_CHANS, stem.dim, side, stride=side)

    def forward(self, x: Tensor) -> Tensor:  # (B, in_chans, S, S) -> (B, N, C)
        x = F.max_pool2d(self.norm(self.conv(x)), 3, stride=2, padding=1)
        return self.proj(x).flatten(2).transpose(1, 2)


class StridedStem(nn.Module):
    """Shuffle Transformer's: 3x3/2 convolutions, each with BatchNorm and ReLU6, then a 1x1 one."""

    def __init__(self, stem: Strided, *, in_chans: int) -> None:
        super().__init__()
        chans = (in_chans, *stem.widths)
        self.convs = nn.ModuleList(
            nn.Conv2d(before, width, 3, stride=2, padding=1)
            for before, width in zip(chans, stem.widths, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in stem.widths)
        self.proj = nn.Conv2d(stem.dim, stem.dim, 1)

    def forward(self, x: Tensor) -> Tensor:  # (B, in_chans, S, S) -> (B, N, C)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu6(norm(conv(x)))
        return self.proj(x).flatten(2).transpose(1, 2)


class ConvTokenizer(nn.Module):
    """CCT's: 3x3 convolutions without bias, each with ReLU and 3x3/2 max-pooling."""

    def __init__(self, stem: Tokenizer, *, in_chans: int) -> None:
        super().__init__()
        chans = (in_chans, *stem.widths)
        self.convs = nn.ModuleList(
            nn.Conv2d(before, width, 3, padding=1, bias=False)
            for before, width in zip(chans, stem.widths, strict=False)
        )
        for weight in self.convs.parameters():
            nn.init.kaiming_normal_(weight)

    def forward(self, x: Tensor) -> Tensor:  # (B, in_chans, S, S) -> (B, N, C)
        for conv in self.convs:
            x = F.max_pool2d(F.relu(conv(x)), 3, stride=2, padding=1)
        return x.flatten(2).transpose(1, 2)
