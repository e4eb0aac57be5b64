"""The README.md of an exported folder: what the network is, how good, how to load and cite it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from results import words
from results.standalone import FILE, own_kinds
from space import Architecture, count_flops, count_params

CARD = "README.md"
_DATA_LICENSES = {
    "digits": "CC BY 4.0 (Optical Recognition of Handwritten Digits, UCI, by scikit-learn)",
}
_SHARES = ("accuracy", "top5")  # of images, which an interval follows from
_Z = 1.96  # of a 95 % interval


def model_card(config: Mapping[str, Any], *, name: str) -> str:
    """Markdown with the head that the Hub and timm read, of an exported config.json; `name`: the
    folder's."""
    told = config["vit_frontier"]
    architecture = Architecture.from_dict(config["model_args"]["architecture"])
    lines = ["---", *_head(told, name), "---", f"# {name}", ""]
    lines += _what(told, architecture)
    lines += ["", "## Accuracy", "", *_accuracy(told)]
    lines += ["", "## Load", "", *_load(config, name)]
    lines += ["", "## Licenses", "", *_licenses(told)]
    lines += ["", "## Cite", "", *_CITE]
    return "\n".join(lines) + "\n"


def wilson(accuracy: float, images: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy measured on so many images (Wilson)."""
    bound = _Z**2 / images
    middle = (accuracy + bound / 2) / (1 + bound)
    half = _Z * math.sqrt(accuracy * (1 - accuracy) / images + bound / (4 * images)) / (1 + bound)
    return max(0.0, middle - half), min(1.0, middle + half)


def _head(told: Mapping[str, Any], name: str) -> Iterator[str]:
    """YAML: what is known of it for machines."""
    yield "library_name: timm"
    yield "pipeline_tag: image-classification"
    yield "tags:"
    yield from (f"- {tag}" for tag in ("image-classification", "timm", "vit-frontier"))
    if isinstance(told.get("init"), str):
        yield f"base_model: {_quoted(told['init'])}"
    results = [(split, told.get(key)) for split, key in _SPLITS.items()]
    results = [(split, value) for split, value in results if isinstance(value, float)]
    if not results:
        return
    dataset = _quoted(told.get("dataset") or "unknown")
    yield "model-index:"
    yield f"- name: {_quoted(name)}"
    yield "  results:"
    for split, value in results:
        yield "  - task: {type: image-classification}"
        yield f"    dataset: {{type: {dataset}, name: {dataset}, split: {split}}}"
        yield f"    metrics: [{{type: {told.get('metric') or 'accuracy'}, value: {value:.4f}}}]"


_SPLITS = {"validation": "accuracy", "test": "test_accuracy"}


def _quoted(text: Any) -> str:
    """A text that is one YAML scalar, whatever is in it: JSON's form is YAML's too."""
    return json.dumps(str(text))


def _plain(text: Any) -> str:
    """A name from outside as one word of Markdown."""
    return re.sub(r"[^\w .:/+,()-]", "_", str(text))


def _what(told: Mapping[str, Any], architecture: Architecture) -> Iterator[str]:
    a, row = architecture, words.shape_row(architecture)
    shape = ", ".join(f"{key} {value}" for key, value in row.items() if value != words.MISSING)
    yield (
        f"A Vision Transformer for {a.num_classes} classes of {a.img_size} x {a.img_size} images, "
        f"found by vit-frontier: {shape}."
    )
    images = told.get("images") or {}
    sizes = ", ".join(
        f"{images[split]:,} {what}"
        for split, what in (
            ("train", "to train on"),
            ("validation", "to validate on"),
            ("test", "to test on"),
        )
        if isinstance(images.get(split), int)
    )
    trained = words.counted(told["epochs"], "epoch") if told.get("epochs") else "unknown epochs"
    seed = f", seed {told['seed']}" if told.get("seed") is not None else ""
    recipe = f" by the recipe {_plain(told['recipe'])}" if told.get("recipe") else ""
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| FLOPs of one image (multiply-accumulates) | {count_flops(a):,} |"
    yield f"| parameters | {count_params(a):,} |"
    yield f"| data | {_plain(told.get('dataset') or 'unknown')}{f': {sizes}' if sizes else ''} |"
    yield f"| these weights | {trained}{recipe}{seed} |"
    if told.get("run") is not None:
        yield f"| from | trial {told.get('trial')} of the run {_plain(told['run'])} |"


def _accuracy(told: Mapping[str, Any]) -> Iterator[str]:
    """A row a measurement, with its interval and what it is over."""
    images, metric = told.get("images") or {}, told.get("metric") or "accuracy"
    yield f"| measured on | {words.metric_name(metric)} | 95 % | of |"
    yield "|---|---|---|---|"
    for split, key in _SPLITS.items():
        value, count = told.get(key), images.get(split)
        if not isinstance(value, float):
            continue
        interval = "unknown"
        if isinstance(count, int) and count and metric in _SHARES:
            interval = "{:.4f} to {:.4f}".format(*wilson(value, count))
        yield f"| {split} | {value:.4f} | {interval}, images drawn anew | these weights |"
    confirmed = told.get("confirmed")
    if confirmed:
        mean, error = confirmed["mean"], confirmed["error"]
        of = words.counted(confirmed["trainings"], "training") + " by other seeds"
        if error is None:
            interval = "unknown"
        else:
            interval = f"{mean - _Z * error:.4f} to {min(1.0, mean + _Z * error):.4f}"
        yield f"| validation | {mean:.4f} | {interval}, trained anew | {of} |"
    yield ""
    yield _how_sure(told)


def _how_sure(told: Mapping[str, Any]) -> str:
    if told.get("confirmed"):
        probability = words.percent(told["confirmed"]["probability"], 0)
        return f"Confirmed by other seeds: on the frontier with a probability of {probability}."
    if told.get("run") is None:
        return "One training by one seed."
    return (
        "Not confirmed by other seeds. It was chosen by this validation accuracy, which flatters "
        "it: `vit-frontier confirm RUN` trains it again."
    )


def _load(config: Mapping[str, Any], name: str) -> Iterator[str]:
    others = own_kinds(config["model_args"]["architecture"])
    if others:
        yield f"With vit-frontier and {', '.join(map(_plain, others))} installed:"
        how = ["import timm, space.model", ""]
        how += [f'model = timm.create_model("local-dir:{name}", pretrained=True).eval()']
    else:
        yield f"With torch and timm alone (`{FILE}` has the code):"
        how = ["import sys", f"sys.path.insert(0, {name!r})  # this folder"]
        how += [f"from {FILE.removesuffix('.py')} import load", "", "model = load().eval()"]
    yield ""
    yield "```python"
    yield from how
    yield "from timm.data import create_transform, resolve_model_data_config"
    yield "transform = create_transform(**resolve_model_data_config(model))  # of an image of PIL"
    yield "```"
    yield ""
    yield "To the Hub, the weights by timm, then this card and the code:"
    yield ""
    yield "```python"
    yield "from huggingface_hub import upload_folder"
    yield "from timm.models import push_to_hf_hub"
    yield 'args = {"architecture": model.architecture.to_dict()}'
    yield 'push_to_hf_hub(model, "USER/NAME", model_args=args, safe_serialization=True)'
    yield f'upload_folder(repo_id="USER/NAME", folder_path={name!r})'
    yield "```"


def data_license(dataset: str | None) -> str:
    """What is known here of the license of the data."""
    return _DATA_LICENSES.get(dataset or "", "not known here: that of its images")


def _licenses(told: Mapping[str, Any]) -> Iterator[str]:
    yield f"- code (`{FILE}`): Apache-2.0"
    yield f"- data: {data_license(told.get('dataset'))}"
    donor = told.get("init")
    if isinstance(donor, str):
        known = told.get("init_license") or "not known here"
        yield f"- the pretrained network {_plain(donor)}, which these weights began from: {known}"
    yield "- weights: for whoever trained them to say"


_CITE = (
    "vit-frontier (CITATION.cff), and the papers whose networks it searches: DeepViT "
    "(arXiv 2103.11886) for Re-attention, HVT (arXiv 2103.10619) for pooling.",
)
