"""Small donors: timm's ViT with random weights, in the folder that timm writes."""

import timm
import torch
from timm.models import save_for_hf

SMALL = {
    "img_size": 32,
    "patch_size": 4,
    "embed_dim": 64,
    "depth": 6,
    "num_heads": 2,
}


def small_vit(name="deit_tiny_patch16_224", **options):
    """A small network of timm's with random weights, no two of which are equal."""
    torch.manual_seed(0)
    model = timm.create_model(name, **{**SMALL, "num_classes": 10, **options}).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def save_donor(model, folder, **options):
    """timm's folder of `small_vit`; its path as text."""
    save_for_hf(model, folder, model_args={**SMALL, **options}, safe_serialization=True)
    return str(folder)
