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


DIGITS = {
    "img_size": 16,
    "patch_size": 4,
    "in_chans": 1,
    "embed_dim": 32,
    "depth": 4,
    "num_heads": 2,
    "mlp_ratio": 2.0,
}


def save_donor_of_digits(folder, *, epochs=20):
    """timm's folder of a ViT that was trained on digits for so many epochs; its path as text."""
    from space import Architecture
    from trainers import Recipe, load_dataset, train_proxy

    data = load_dataset("digits", img_size=16)
    a = Architecture(num_classes=10, head="token", **DIGITS)
    trained = train_proxy(
        a, data, Recipe(epochs=epochs, warmup_epochs=epochs / 10), seed=0, device="cpu"
    )
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=10, **DIGITS)
    vit.load_state_dict(trained.model.state_dict())
    vit.pretrained_cfg |= {"mean": data.mean, "std": data.std}
    save_for_hf(vit, folder, model_args=DIGITS, safe_serialization=True)
    return str(folder)
