"""Pretrained Vision Transformers that a search begins from: read, checked, refused by name."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from space import Architecture
from space.files import read_small_file, refuse_irregular
from space.rules import LIMITS, integer, number, show

if TYPE_CHECKING:
    from torch import Tensor, nn

    from space import VisionTransformer

SIZES = ("img_size", "patch_size", "in_chans", "num_classes", "embed_dim", "depth", "num_heads")
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
WEIGHTS = "model.safetensors"
_RULES = {"mean": number(low=0.0, high=1.0), "std": number(above=0.0, high=1.0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Donor:
    """A pretrained network: its architecture, its weights by timm's names, and the mean and std of
    the images it was trained on, as fractions."""

    # Weights are float32 arrays, so that Ray's object store shares them uncopied.

    name: str
    architecture: Architecture
    weights: Mapping[str, np.ndarray[Any, np.dtype[np.float32]]]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def fingerprint(self) -> str:
        """16 hex digits of the architecture and the weights."""
        digest = hashlib.sha256(json.dumps(self.architecture.to_dict(), sort_keys=True).encode())
        for name in sorted(self.weights):
            digest.update(name.encode() + self.weights[name].astype("<f4").tobytes())
        return digest.hexdigest()[:16]

    def statistics(self, in_chans: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Its mean and std for images of so many channels: their averages where it has others."""
        if in_chans == len(self.mean):
            return self.mean, self.std
        means = (math.fsum(self.mean) / len(self.mean),) * in_chans
        return means, (math.fsum(self.std) / len(self.std),) * in_chans

    def load_into(self, model: VisionTransformer) -> None:
        """Its weights into a network that begins as some of its blocks. Raises ValueError."""
        import torch

        from space import inherit

        inherit(model, {name: torch.tensor(array) for name, array in self.weights.items()})


def read_donor(name: str) -> Donor:
    """The donor of that name: a timm folder (config.json and model.safetensors), a safetensors file
    with its config.json beside it, or a name of timm's, which downloads it.

    Takes seconds. Raises ValueError on a network with an option that ours do not have, on a broken
    file, and on a name whose weights cannot be had.
    """
    path = Path(name)
    try:
        if path.is_dir():
            return _read_folder(path, path / WEIGHTS)
        if path.exists() or path.suffix in (".safetensors", ".bin", ".pth", ".pt"):
            if path.suffix != ".safetensors":
                raise ValueError(
                    "weights are read from safetensors files alone, since others can run programs: "
                    "save it by timm.models.save_for_hf(..., safe_serialization=True)."
                )
            return _read_folder(path.parent, path)
        return _download(name)
    except ValueError as error:
        raise ValueError(f"`--init` (={show(name)}) cannot be used: {error}") from None


def donor_of_network(
    name: str, a: Architecture, weights: Path, *, mean: Sequence[float], std: Sequence[float]
) -> Donor:
    """The donor of a network of ours and its safetensors file. Raises ValueError."""
    import torch

    from space import build_model

    with torch.device("meta"):
        model = build_model(a)
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    arrays = _arrays(_read_weights(weights, expected))
    return Donor(name=name, architecture=a, weights=arrays, mean=tuple(mean), std=tuple(std))


def _read_folder(folder: Path, weights: Path) -> Donor:
    """The donor of a config.json and a weights file."""
    config = _read_config(folder / "config.json")
    model = _on_meta(folder, config)
    _architecture(model)  # before the weights are read
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    return _donor(str(folder if weights.name == WEIGHTS else weights), model,
                  _read_weights(weights, expected))  # fmt: skip


def _read_config(file: Path) -> dict[str, Any]:
    """config.json, known to name a network whose sizes can be built."""
    try:
        if not file.exists():
            raise ValueError(
                "it is not there, and weights alone do not tell the number of heads: write it by "
                "timm.models.save_for_hf(model, folder, model_args={...})."
            )
        config = json.loads(read_small_file(file))
    except (ValueError, RecursionError, OSError) as error:
        raise ValueError(f"{str(file)!r} must be timm's config.json, but: {error}") from None
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        raise ValueError(f"{str(file)!r} must name timm's model as `architecture`, but does not.")
    args = config.get("model_args") or {}
    if not isinstance(args, dict):
        raise ValueError(f"In {str(file)!r} `model_args` must be a table, but got {show(args)}.")
    for values in (config, args, config.get("pretrained_cfg")):
        if isinstance(values, dict):
            _check_sizes(values)
    return config


def _check_sizes(values: Mapping[str, Any]) -> None:
    for name in SIZES:
        found = values.get(name)
        for size in found if isinstance(found, list) else (found,):
            if size is not None:
                integer(0, LIMITS[name]).check(name, size)
    ratio = values.get("mlp_ratio", 4.0)
    number(above=0.0, high=64.0).check("mlp_ratio", ratio)
    tokens = values.get("reg_tokens") or 0
    integer(0, LIMITS["embed_dim"]).check("reg_tokens", tokens)


def _on_meta(folder: Path, config: Mapping[str, Any]) -> nn.Module:
    """timm's network of a folder, without any memory for its weights."""
    import timm
    import torch
    from timm.models.vision_transformer import VisionTransformer

    options = {*inspect.signature(VisionTransformer.__init__).parameters} - {"device", "dtype"}
    for option in config.get("model_args") or {}:
        if option not in options:
            raise ValueError(f"its `model_args` name {show(option)}, which timm's ViT does not.")
    try:
        with torch.device("meta"):
            return timm.create_model(f"local-dir:{folder}", pretrained=False)
    except Exception as error:  # timm and torch raise any kind on options that do not go together
        raise ValueError(f"timm cannot build it: {_line(error)}.") from None


def _read_weights(file: Path, expected: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The tensors of a safetensors file, read after their names and shapes are known to be these.
    Raises ValueError."""
    from safetensors import SafetensorError, safe_open

    try:
        refuse_irregular(file)
        with safe_open(file, framework="pt") as opened:
            shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
            _check_shapes(file, shapes, expected)
            return {name: opened.get_tensor(name) for name in expected}
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or _line(error)
        raise ValueError(f"{str(file)!r} must be a safetensors file, but: {reason}.") from None


def _check_shapes(
    file: Path, shapes: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]
) -> None:
    for name in sorted({*shapes, *expected}):
        if shapes.get(name) != expected.get(name):
            found, wanted = (
                "no such tensor" if shape is None else f"the shape {shape}"
                for shape in (shapes.get(name), expected.get(name))
            )
            raise ValueError(
                f"{str(file)!r} must hold the network of config.json, but of {show(name)} it has "
                f"{found}, where that has {wanted}."
            )


def _download(name: str) -> Donor:
    """The donor of a name of timm's, from its cache or the network."""
    import timm

    plain = name.partition(".")[0]
    if not timm.is_model(plain):
        near = timm.list_models(f"{plain[:20]}*")[:3] or ["vit_tiny_patch16_224"]
        raise ValueError(
            f"it must be a folder, a safetensors file or a name of timm's: there is neither a file "
            f"nor a model of that name, but for example {', '.join(near)}."
        )
    try:
        model = timm.create_model(name, pretrained=True)
    except Exception as error:  # of the hub, of the network, of timm
        raise ValueError(
            f"timm cannot get its weights ({_line(error)}): download them where there is a "
            "network, by timm.models.save_for_hf(timm.create_model(NAME, pretrained=True), FOLDER, "
            "safe_serialization=True), and give that folder."
        ) from None
    return _donor(name, model, model.state_dict())


def _donor(name: str, model: Any, weights: Mapping[str, Tensor]) -> Donor:
    """The donor of timm's network and its tensors. Raises ValueError."""
    import torch

    architecture = _architecture(model)
    arrays = _arrays(weights)
    if model.no_embed_class and model.num_prefix_tokens:
        positions = arrays["pos_embed"]  # none for a token of the prefix is one of zeros
        arrays["pos_embed"] = np.pad(positions, ((0, 0), (model.num_prefix_tokens, 0), (0, 0)))
    for name, module in model.named_modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)) and module.bias is None:
            arrays[f"{name}.bias"] = np.zeros(len(module.weight), np.float32)  # none is of zeros
    config: Mapping[str, Any] = getattr(model, "pretrained_cfg", None) or {}
    mean, std = (
        _statistics(name, config.get(name), default, architecture.in_chans)
        for name, default in zip(("mean", "std"), IMAGENET, strict=True)
    )
    return Donor(name=name, architecture=architecture, weights=arrays, mean=mean, std=std)


def _arrays(weights: Mapping[str, Tensor]) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """The tensors as float32. Raises ValueError on one that is not of finite numbers."""
    import torch

    for key, tensor in weights.items():
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise ValueError(f"its weights must be finite numbers, but {key} has others.")
    return {key: tensor.detach().float().numpy() for key, tensor in weights.items()}


def _architecture(model: nn.Module) -> Architecture:
    from space import architecture_of

    return architecture_of(model)


def _statistics(
    name: str, values: Any, default: tuple[float, ...], in_chans: int
) -> tuple[float, ...]:
    """The mean or std of config.json, one number for each channel."""
    if not isinstance(values, (list, tuple)):
        values = default
    if len(values) != in_chans:
        values = (sum(default) / len(default),) * in_chans
    for value in values:
        _RULES[name].check(name, value)
    return tuple(map(float, values))


def _line(error: BaseException) -> str:
    """What an error says, as part of a sentence."""
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
