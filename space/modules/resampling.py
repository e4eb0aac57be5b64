"""Weights at another image size: positions resampled as timm does, or a refusal."""

from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import resample_abs_pos_embed, resample_patch_embed
from torch import Tensor, nn

from space.architecture import Architecture
from space.parts.part import Shape

OF_ITS_OWN = (
    "architecture",
    "training",
    "drop_prob",
    "grad_checkpointing",
    "global_pool",
)  # attributes that no size changes


def resampled_state_dict(state_dict: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The weights for `model`, which may be for images of another size. Raises ValueError on
    weights that were learned for one size."""
    ours = model.state_dict()
    architecture: Any = model.architecture
    return {
        name: _fitted(name, tensor, ours[name], architecture) if name in ours else tensor
        for name, tensor in state_dict.items()
    }


def _fitted(name: str, tensor: Tensor, like: Tensor, a: Architecture) -> Tensor:
    if tensor.shape == like.shape or name.startswith("head."):
        return tensor
    if tensor.dim() == 3 and name.split(".")[-1] == "pos_embed":
        return _positions(tensor, _shape_of(name, like, a))
    if name.startswith("patch_embed.") and tensor.dim() == 4:
        size = list(like.shape[-2:])  # its channels are adapted by timm
        alike = list(tensor.shape[-2:]) == size
        return tensor if alike else resample_patch_embed(tensor, size)
    raise ValueError(
        f"`img_size` must be that of the weights, because {name} {tuple(tensor.shape)} was learned "
        f"for one size and {tuple(like.shape)} is asked for: leave `img_size` as it was."
    )


def _shape_of(name: str, like: Tensor, a: Architecture) -> Shape:
    """The shape of the tokens that this positional embedding is added to."""
    if name == "pos_embed":
        return a.start if a.stem.places_prefix else a.start._replace(prefix=0)
    length = like.shape[1]
    shapes = [
        part.after(seen)
        for last, part, seen in a.after_blocks()
        if name.startswith(f"blocks.{last}.") and part.after(seen).length == length
    ]
    return shapes[0] if shapes else Shape(None, length - a.start.prefix, a.start.prefix, 0)


def _positions(tensor: Tensor, shape: Shape) -> Tensor:
    """On a grid as timm resamples them, from a square; else linearly in raster order."""
    prefix = shape.prefix
    if shape.grid is not None:
        return resample_abs_pos_embed(tensor, list(shape.grid), num_prefix_tokens=prefix)
    kept, tokens = tensor[:, :prefix], tensor[:, prefix:]
    size = shape.tokens
    spread = F.interpolate(tokens.float().transpose(1, 2), size=size, mode="linear")
    return torch.cat([kept, spread.transpose(1, 2).to(tensor.dtype)], dim=1)


@torch.no_grad()
def resized(model: nn.Module, new: nn.Module) -> None:
    """Makes `model` what `new` is, the same network for images of another size: its sizes, tables
    of places and positions. Raises ValueError, then nothing is changed."""
    state = resampled_state_dict(dict(model.named_parameters()), new)
    modules = dict(new.named_modules())
    for path, module in model.named_modules():
        like = modules.get(path)
        if like is None or type(like) is not type(module):
            continue
        for name, value in vars(like).items():
            if not name.startswith("_") and name not in OF_ITS_OWN:
                setattr(module, name, value)
        for name in like._non_persistent_buffers_set:
            table, old = like._buffers[name], module._buffers[name]
            module._buffers[name] = table if table is None or old is None else table.to(old.device)
        for name, parameter in list(module._parameters.items()):
            found = state.get(f"{path}.{name}" if path else name)
            if parameter is not None and found is not None and found.shape != parameter.shape:
                learns = parameter.requires_grad
                module._parameters[name] = nn.Parameter(found, requires_grad=learns)
