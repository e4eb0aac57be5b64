"""Every plain Vision Transformer of timm as a donor: its logits to the last bit, or its option that
is not held by name."""

import re
from fnmatch import fnmatch

import pytest
import timm
import torch

from space import build_model, count_params, space_of
from trainers.init import _donor

MODULES = ("timm.models.vision_transformer", "timm.models.deit")
SMALL = {
    "embed_dim": 96,
    "depth": 2,
    "num_heads": 2,
    "num_classes": 5,
    "img_size": 32,
    "patch_size": 8,
}
REFUSED = {  # the first option that is not held, by the names of those that have it
    "VisionTransformer": ("deit_*_distilled_*",),
    "embed_norm_layer": ("aimv2_*",),
    "scale_attn_norm": ("beit3_*",),
    "block_fn": ("*_xp_*", "*_18x2_*", "*_rpn_*", "vit_pwee_*", "vit_dpwee_*"),
    "attn_layer": ("vit_dlittle_*", "vit_dwee_*"),
    "mlp_layer": ("vit_giant_patch14_dinov2", "vit_giant_patch14_reg*"),  # SwiGLU
    "norm_layer": ("test_vit4",),
    "global_pool": ("vit_*_siglip_[0-9]*", "vit_*_map_*", "test_vit3"),  # by attention
    "final_norm": ("*_radio_*", "vit_intern300m_*"),
}
FAMILIES = (
    "deit_tiny_patch16_224",
    "deit3_small_patch16_224",
    "vit_tiny_patch16_224",
    "vit_base_patch16_clip_quickgelu_224",
    "vit_small_patch14_dinov2",
    "vit_small_patch14_reg4_dinov2",
    "vit_mediumd_patch16_reg4_gap_256",
    "eva_large_patch14_196",
)


def names():
    """timm's models of these modules, in their order."""
    return [n for n in timm.list_models() if timm.model_entrypoint(n).__module__ in MODULES]


def refused_by(name):
    """The option by which a model is refused; None if it is a donor."""
    for option, patterns in REFUSED.items():
        if any(fnmatch(name, pattern) for pattern in patterns):
            return option
    return None


@torch.no_grad()
def outcome(name):
    """What becomes of a small random network of that name: "equal", an option, or what differs."""
    torch.manual_seed(0)
    vit = timm.create_model(name, **SMALL).eval()
    for parameter in vit.parameters():
        parameter += 0.05 * torch.randn_like(parameter)
    try:
        donor = _donor("x", vit, vit.state_dict())
    except ValueError as error:
        found = re.search(r"its `(\w+)` must|plain (VisionTransformer)", str(error))
        return next(filter(None, found.groups()))
    a = donor.architecture
    if a not in space_of(a, name="x", img_size=32, in_chans=3, num_classes=5):
        return "not in its space"
    for size in (32, 48):
        model = build_model(a.replace(img_size=size)).eval()
        donor.load_into(model)
        if size != 32:
            vit.set_input_size(size)
        images = torch.randn(2, 3, size, size)
        if not torch.equal(model(images), vit(images)):
            return f"other logits at {size} pixels"
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return "equal" if count_params(model.architecture) == parameters else "other parameters"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_donor_of_each_family_gives_its_logits_to_the_last_bit(name):
    assert outcome(name) == "equal"


@pytest.mark.slow
def test_every_plain_vit_of_timm_is_equal_or_refused_by_an_option():
    found = {name: outcome(name) for name in names()}
    expected = {name: refused_by(name) or "equal" for name in found}
    assert {name: got for name, got in found.items() if got != expected[name]} == {}
