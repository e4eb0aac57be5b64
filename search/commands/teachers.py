"""Which teacher is meant: a folder, a safetensors file, a trial of a run, or a name of timm's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.commands.trial_names import read_trial
from search.pretrained import HUB
from space.rules import show

if TYPE_CHECKING:
    from trainers import Dataset
    from trainers.teacher import Teacher


def kept_name(text: str | None) -> str | None:
    """The text by which a training that goes on, perhaps from elsewhere, finds its teacher. Raises
    ValueError."""
    if text is None or not (_is_trial(text) or Path(text).exists()):
        return text
    if Path(text).exists():
        return str(Path(text).resolve())
    run, number, _ = read_trial(text, None)
    return f"{run.path.resolve()}:{number}"


def read_teacher(text: str | None, dataset: Dataset) -> Teacher | None:
    """The teacher of that name for the images of a dataset. Raises ValueError if it cannot be
    loaded or has other classes."""
    if text is None:
        return None
    from timm.data import resolve_model_data_config

    from trainers.teacher import Teacher

    if not _is_trial(text):
        model = _of_timm(text)
        how = resolve_model_data_config(model)
        shape = {"mean": how["mean"], "std": how["std"], "img_size": how["input_size"][-1]}
        names = model.pretrained_cfg.get("label_names")
    else:
        model, shape, names = _of_run(text)
    if model.num_classes != dataset.num_classes:
        raise ValueError(
            f"`--teacher` must tell the {dataset.num_classes} classes of the images apart, but "
            f"{show(text)} has {model.num_classes}: give one that was trained on them."
        )
    pairs = zip(dataset.class_names, names or (), strict=False)
    other = next(((ours, theirs) for ours, theirs in pairs if ours != theirs), None)
    if other is not None:
        raise ValueError(
            f"`--teacher` must tell the classes of the images apart in their order, but where they "
            f"have {show(other[0])}, {show(text)} has {show(other[1])}: give one that was trained "
            "on them."
        )
    return Teacher(model.eval().requires_grad_(False), dataset, name=text, **shape)


def _is_trial(text: str) -> bool:
    return ":" in text and not text.startswith(HUB) and not Path(text).exists()


def _of_timm(text: str) -> Any:
    import timm

    import space.model  # noqa: F401  (registers vit_frontier)

    path = Path(text)
    is_path = len(path.parts) > 1 or path.suffix == ".safetensors"
    if is_path and not path.exists() and not text.startswith(HUB):
        raise ValueError(f"`--teacher` (={show(text)}) is not there: restore it, or give another.")
    name = f"local-dir:{text}" if path.exists() else text
    try:
        if path.is_file():
            return _of_file(path)
        return timm.create_model(name, pretrained=True)
    except Exception as error:  # timm's, the hub's and safetensors' own
        reason = str(error).strip().splitlines()[0][:200]
        raise ValueError(
            f"`--teacher` must be a folder that export or train wrote, a safetensors file beside "
            f"its config.json, RUN:TRIAL, or a pretrained network of timm, but got {show(text)}: "
            f"{reason.rstrip('.')}."
        ) from None


def _of_file(path: Path) -> Any:
    """timm's network of the config.json beside a safetensors file."""
    import timm
    from safetensors.torch import load_file

    model = timm.create_model(f"local-dir:{path.parent}", pretrained=False)
    model.load_state_dict(load_file(path))
    return model


def _of_run(text: str) -> tuple[Any, dict[str, Any], Any]:
    from safetensors.torch import load_file

    from results.write import preprocessing
    from space import build_model

    run, number, _ = read_trial(text, None)
    record = next((record for record in run.records if record.trial == number), None)
    file, how = run.path / "weights" / f"{number}.safetensors", preprocessing(run)
    if record is None or how is None or not file.is_file():
        raise ValueError(
            f"`--teacher` (={show(text)}) must be a member of the frontier or a baseline, which "
            "alone keep their weights: `vit-frontier status` lists members."
        )
    model = build_model(record.architecture)
    model.load_state_dict(load_file(file))
    size = record.architecture.img_size
    shape = {"mean": how["mean"], "std": how["std"], "img_size": size}
    return model, shape, run.settings["data"].get("class_names")
