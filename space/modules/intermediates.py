"""What timm offers of every Vision Transformer between its blocks: features, pruning, resizing."""

import dataclasses
from typing import Any

import torch
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from space.architecture import Architecture
from space.modules.resampling import resized
from space.parts.part import Shape

FORMATS = ("NCHW", "NLC")


class Intermediates(nn.Module):
    """timm's methods of a network that take or keep the tokens behind single blocks."""

    __jit_unused_properties__ = ("feature_info",)
    __jit_ignored_attributes__ = ("architecture",)
    architecture: Architecture
    blocks: Any
    norm: nn.Module
    pretrained_cfg: dict[str, Any]

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """timm's: name, width and pixels a token for each block. Where the grid is lost, the pixels
        are those of the last grid."""
        a, info = self.architecture, []
        grid = a.start.grid or (a.img_size, a.img_size)
        for index, shape in enumerate(shapes_behind(a)):
            grid = shape.grid or grid
            reduction = a.img_size // grid[0]
            info.append({"module": f"blocks.{index}", "num_chs": shape.dim, "reduction": reduction})
        return info

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        return_prefix_tokens: bool = False,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str | None = None,
        intermediates_only: bool = False,
        output_dict: bool = False,
    ) -> Any:
        """timm's: the final tokens and those behind each block of `indices` (the last n, all for
        None). Raises ValueError on NCHW where the grid is lost."""
        # `output_fmt` None is NCHW where every taken block has a grid, else NLC.
        take, last = feature_take_indices(len(self.blocks), indices)
        shapes = shapes_behind(self.architecture)
        output_fmt = checked_format(output_fmt, take, shapes)
        prefix = self.architecture.start.prefix
        found, final = [], self.tokens(x)
        state: tuple[Tensor, ...] = (final,)
        carried: dict[str, Tensor] = {}
        for index, block in enumerate(self.blocks):
            if stop_early and index > last:
                break
            state = self.blocks.step(index, block, state, carried)
            if index in take:
                found.append(self._normed(state[0], index) if norm else state[0])
        prefixes = [tokens[:, :prefix] for tokens in found]
        spatial: list[Tensor] = [tokens[:, prefix:] for tokens in found]
        if output_fmt == "NCHW":
            grids = [shapes[index].grid or (0, 0) for index in sorted(take)]
            spatial = [
                tokens.transpose(1, 2).reshape(len(tokens), -1, *grid).contiguous()
                for tokens, grid in zip(spatial, grids, strict=True)
            ]
        if output_dict:
            told: dict[str, Any] = {"image_intermediates": spatial}
            if prefix and return_prefix_tokens:
                told["image_intermediates_prefix"] = prefixes
            return told if intermediates_only else told | {"image_features": self.norm(state[0])}
        both: Any = list(zip(spatial, prefixes, strict=True))
        taken = both if prefix and return_prefix_tokens else spatial
        return taken if intermediates_only else (self.norm(state[0]), taken)

    def get_intermediate_layers(
        self,
        x: Tensor,
        n: int | list[int] = 1,
        reshape: bool = False,
        return_prefix_tokens: bool = False,
        norm: bool = False,
    ) -> Any:
        """timm's, as DINO's: the tokens behind the last `n` blocks, or those of these indices."""
        return self.forward_intermediates(
            x,
            n,
            return_prefix_tokens=return_prefix_tokens,
            norm=norm,
            output_fmt="NCHW" if reshape else "NLC",
            intermediates_only=True,
        )

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """timm's: leaves out the blocks behind the last of `indices`, which are given back from
        the front; `architecture` follows."""
        take, last = feature_take_indices(len(self.blocks), indices)
        self.architecture = truncated(self.architecture, last + 1)
        self.blocks.keep(self.architecture)
        if prune_norm:
            self.norm = nn.Identity()
        if prune_head:
            self.reset_classifier(0, "")
        return list(take)

    def set_input_size(
        self,
        img_size: int | tuple[int, int] | None = None,
        patch_size: int | tuple[int, int] | None = None,
    ) -> None:
        """timm's: the network at another size, its positions resampled. Raises ValueError where a
        part cannot be, or has learned something for one size alone."""
        a = self.architecture
        stem: Any = a.stem
        if patch_size is not None:
            stem = dataclasses.replace(stem, patch_size=one_side(patch_size))
        size = a.img_size if img_size is None else one_side(img_size)
        built = a.replace(img_size=size, stem=stem)
        with torch.random.fork_rng(devices=[]):
            resized(self, type(self)(built))
        self.architecture = built
        if hasattr(self, "pretrained_cfg"):
            input_size = (built.in_chans, size, size)
            self.pretrained_cfg = {**self.pretrained_cfg, "input_size": input_size}
            self.default_cfg = self.pretrained_cfg

    @torch.no_grad()
    def init_weights(self) -> None:
        """timm's: all weights, statistics and tables anew, as after `to_empty`."""
        new = type(self)(self.architecture)
        theirs = dict(new.named_parameters()) | dict(new.named_buffers())
        for name, tensor in [*self.named_parameters(), *self.named_buffers()]:
            if name in theirs:
                tensor.copy_(theirs[name])

    def __prepare_scriptable__(self) -> nn.Module:
        """TorchScript's refusal. Raises TypeError."""
        raise TypeError(
            "torch.jit.script cannot read how blocks hand on what tokens are kept: use "
            "torch.compile, torch.export or torch.jit.trace."
        )

    def tokens(self, x: Tensor) -> Tensor:
        """The tokens that enter the first block."""
        raise NotImplementedError

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new head."""
        raise NotImplementedError

    def _normed(self, x: Tensor, index: int) -> Tensor:
        wide = getattr(self.norm, "normalized_shape", x.shape[-1:])
        if tuple(wide) != tuple(x.shape[-1:]):
            raise ValueError(
                f"`norm` normalises tokens of width {wide[0]}, but those behind block {index} are "
                f"{x.shape[-1]} wide: leave out `norm`, or that block."
            )
        normed: Tensor = self.norm(x)
        return normed


def shapes_behind(a: Architecture) -> list[Shape]:
    """The shape that leaves each block and what is done after it."""
    shapes = []
    for place in a.walk():
        shapes += [place.blocks.out] * (place.stage.depth - 1) + [place.out]
    return shapes


def truncated(a: Architecture, depth: int) -> Architecture:
    """The network of the first `depth` blocks."""
    stages = []
    for place in a.walk():
        left = depth - place.first
        if left >= place.stage.depth:
            stages.append(place.stage)
        elif left > 0:
            stages.append(dataclasses.replace(place.stage, depth=left, then=()))
    blocks = None if a.donor_blocks is None else a.donor_blocks[:depth]
    return a.replace(stages=tuple(stages), donor_blocks=blocks)


def checked_format(output_fmt: str | None, take: list[int], shapes: list[Shape]) -> str:
    """NCHW or NLC. Raises ValueError on NCHW behind a block whose tokens are on no grid."""
    lost = [index for index in take if shapes[index].grid is None]
    if output_fmt is None:
        return "NLC" if lost else "NCHW"
    if output_fmt not in FORMATS:
        raise ValueError(f"`output_fmt` must be 'NCHW' or 'NLC', but got {output_fmt!r:.80}.")
    if output_fmt == "NCHW" and lost:
        raise ValueError(
            f"`output_fmt` must be 'NLC' where the grid is lost, but got 'NCHW' for block "
            f"{lost[0]}, whose tokens were pooled, pruned or merged: choose 'NLC' or blocks before."
        )
    return str(getattr(output_fmt, "value", output_fmt))


def one_side(size: Any) -> Any:
    """The side of a square (S, S), for timm's pairs."""
    if isinstance(size, (tuple, list)) and len(size) == 2 and size[0] == size[1]:
        return size[0]
    return size
