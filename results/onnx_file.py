"""An exported network as ONNX, by torch's exporter, compared with ONNX Runtime first."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.replace import replace_file

if TYPE_CHECKING:
    from torch import nn

ONNX = "model.onnx"
REFUSED = ("l2",)  # kinds that torch's exporter cannot decompose
TOLERANCE = 1e-4  # of a logit
_CHECKED = (1, 3)  # images at once: the batch is free in the file


def write_onnx(folder: Path) -> Path:
    """Writes model.onnx of an exported folder: `images` (B, C, S, S), prepared as config.json says,
    to `logits`. Takes a minute. Raises ValueError where it cannot be."""
    import numpy as np
    import torch

    model = _model(folder)
    shape = model.in_chans, model.architecture.img_size, model.architecture.img_size
    runtime = _runtime()
    file = folder / f"{ONNX}.partial"
    try:
        _export(model, torch.randn(2, *shape), file)
        session = runtime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
        for count in _CHECKED:
            images = torch.randn(count, *shape, generator=torch.Generator().manual_seed(count))
            with torch.no_grad():
                ours = model(images).numpy()
            (theirs,) = session.run(None, {"images": images.numpy()})
            apart = float(np.abs(ours - theirs).max())
            if not apart <= TOLERANCE:
                raise ValueError(
                    f"ONNX Runtime must agree with torch to {TOLERANCE:g}, but its logits are "
                    f"{apart:.2g} apart: leave out `--onnx`."
                )
        return replace_file(folder / ONNX, file.read_bytes())
    finally:
        file.unlink(missing_ok=True)


def _model(folder: Path) -> Any:
    """The network of the folder. Raises ValueError if a kind of it cannot be in ONNX."""
    from safetensors.torch import load_file

    from space import Architecture, build_model

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    architecture = Architecture.from_dict(config["model_args"]["architecture"])
    kinds = {stage.attention.kind for stage in architecture.stages}
    for kind in REFUSED:
        if kind in kinds:
            raise ValueError(
                f"A network in ONNX must not have attention of the kind {kind!r}, which torch's "
                f"exporter cannot decompose, but {str(folder)!r} has: leave out `--onnx`."
            )
    model = build_model(architecture).eval()
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model


def _runtime() -> Any:
    """ONNX Runtime. Raises ValueError if a package is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"`--onnx` needs onnx, onnxscript and onnxruntime, but {error.name} is not installed: "
            "pip install 'vit-frontier[onnx]'."
        ) from None
    return onnxruntime


def _export(model: nn.Module, images: Any, file: Path) -> None:
    """By torch, without what it prints. Raises ValueError."""
    import torch

    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model,
                (images,),
                file,
                dynamo=True,
                external_data=False,
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
    except Exception as error:  # of many kinds, several screens long
        cause = error.__cause__ or error
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise ValueError(
            f"torch {torch.__version__} must be able to export the network to ONNX, but: {reason}: "
            "leave out `--onnx`."
        ) from None
    finally:
        logging.disable(level)
