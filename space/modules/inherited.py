"""A pretrained network's weights in a network that begins as some of its blocks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from timm.layers import resample_abs_pos_embed
from timm.models import adapt_input_conv
from torch import Tensor, nn

from space.modules.network import VisionTransformer
from space.modules.pool import TokenPool
from space.modules.reattention import ReAttention


@torch.no_grad()
def inherit(model: VisionTransformer, donor: Mapping[str, Tensor]) -> None:
    """Loads a donor's weights, by timm's names, into the blocks that `donor_blocks` name.

    Positions are resampled and the stem is adapted to other channels as timm does. A head of other
    classes stays as it is, a pool adds no position, attention maps are mixed by the unit matrix.
    Raises ValueError if a weight has another shape.
    """
    a = model.architecture
    if a.donor_blocks is None:
        raise ValueError("A network that begins as a pretrained one needs `donor_blocks`.")
    for name, ours in model.state_dict().items():
        theirs = donor.get(_donor_name(name, a.donor_blocks))
        if theirs is None or (name.startswith("head.") and theirs.shape != ours.shape):
            continue
        ours.copy_(_adapted(name, theirs, ours, prefix=a.start.prefix))
    for module in model.modules():
        if isinstance(module, TokenPool):
            module.pos_embed.zero_()
        elif isinstance(module, ReAttention):
            module.mix_nothing()


def start_as_identity(model: VisionTransformer, images: Tensor) -> None:
    """Has every Re-attention whose matrix is one give out the maps that it gets, by the statistics
    of these images (B, C, H, W), in training and evaluation alike."""

    def measure(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        assert isinstance(module, ReAttention)
        module.measure(args[0])

    mixing = [module for module in model.modules() if isinstance(module, ReAttention)]
    if not mixing:
        return
    # Before each one's forward: those behind it then see what they will see.
    hooks = [module.register_forward_pre_hook(measure) for module in mixing]
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)


def _donor_name(name: str, blocks: tuple[int, ...]) -> str:
    """What a tensor of ours is called in the donor."""
    if not name.startswith("blocks."):
        return name
    _, index, rest = name.split(".", 2)
    return f"blocks.{blocks[int(index)]}.{rest}" if int(index) < len(blocks) else name


def _adapted(name: str, theirs: Tensor, ours: Tensor, *, prefix: int) -> Tensor:
    """The donor's tensor in the shape of ours. Raises ValueError."""
    if name == "pos_embed" and theirs.shape[-1] == ours.shape[-1]:
        side = round((ours.shape[1] - prefix) ** 0.5)
        theirs = resample_abs_pos_embed(theirs, [side, side], num_prefix_tokens=prefix)
    elif name == "patch_embed.proj.weight" and theirs.shape[1] == 3 != ours.shape[1]:
        theirs = adapt_input_conv(ours.shape[1], theirs)
    if theirs.shape != ours.shape:
        raise ValueError(
            f"A pretrained network's {name} must have the shape {tuple(ours.shape)} of this one's, "
            f"but has {tuple(theirs.shape)}: search a space that follows from it."
        )
    return theirs
