"""The parts of a network by kind. No torch: each part builds its module in `space.modules`."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

from space.parts.attention.evit import EViT
from space.parts.attention.l2 import L2
from space.parts.attention.lsa import LSA
from space.parts.attention.paas import PAAS
from space.parts.attention.plain import Plain
from space.parts.attention.pooled import Pooled
from space.parts.attention.reattention import ReAttention
from space.parts.attention.relative import Relative
from space.parts.attention.shared import Shared
from space.parts.attention.shuffle import Shuffle
from space.parts.attention.tome import ToMe
from space.parts.attention.wide import Wide
from space.parts.attention.window import Window
from space.parts.blocks.dwmlp import DwMlp
from space.parts.blocks.local import Local
from space.parts.blocks.mlp import Mlp
from space.parts.part import Mark, Part, Shape, Shapes, complete, part_from_dict, part_to_dict
from space.parts.stems.conv import Conv
from space.parts.stems.overlap import Overlap
from space.parts.stems.patch import Patch
from space.parts.stems.rvt import RVT
from space.parts.stems.strided import Strided
from space.parts.stems.tokenizer import Tokenizer
from space.parts.tokens.conv_pool import ConvPool
from space.parts.tokens.merge import Merge
from space.parts.tokens.pool import Pool
from space.parts.tokens.pruning import Pruning
from space.rules import did_you_mean, show

__all__ = [
    "KINDS",
    "L2",
    "LSA",
    "PAAS",
    "RVT",
    "Conv",
    "ConvPool",
    "DwMlp",
    "EViT",
    "Local",
    "Mark",
    "Merge",
    "Mlp",
    "Overlap",
    "Part",
    "Patch",
    "Plain",
    "Pool",
    "Pooled",
    "Pruning",
    "ReAttention",
    "Relative",
    "Shape",
    "Shapes",
    "Shared",
    "Shuffle",
    "Strided",
    "ToMe",
    "Tokenizer",
    "Wide",
    "Window",
    "kind_name",
    "kind_named",
    "placed_kinds",
    "read_part",
    "write_part",
]

KINDS: dict[str, type[Part]] = {
    "patch": Patch,
    "conv": Conv,
    "tokenizer": Tokenizer,
    "overlap": Overlap,
    "rvt": RVT,
    "strided": Strided,
    "plain": Plain,
    "reattention": ReAttention,
    "tome": ToMe,
    "evit": EViT,
    "lsa": LSA,
    "l2": L2,
    "paas": PAAS,
    "pooled": Pooled,
    "shared": Shared,
    "window": Window,
    "relative": Relative,
    "shuffle": Shuffle,
    "wide": Wide,
    "mlp": Mlp,
    "pool": Pool,
    "pruning": Pruning,
    "conv_pool": ConvPool,
    "merge": Merge,
    "local": Local,
    "dwmlp": DwMlp,
}


@cache
def kind_named(name: str) -> type[Part]:
    """The class of a kind: one of `KINDS`, or another's as "module:Class", imported from where
    Python looks and from the current folder. Raises ValueError."""
    if name in KINDS:
        return KINDS[name]
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute:
        hint = did_you_mean(name, KINDS)
        raise ValueError(f'Unknown kind {show(name)}{hint} Another\'s is named "module:Class".')
    try:
        found: Any = _imported(module)
        for step in attribute.split("."):
            found = getattr(found, step)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"The kind {show(name)} must be a class that Python can import, but: {error}. Install "
            "its module, or put its file into the current folder of every machine."
        ) from None
    if not isinstance(found, type):
        raise ValueError(f"The kind {show(name)} must be a class, but is {show(found)}.")
    return complete(found)


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module or os.getcwd() in sys.path:
            raise
        sys.path.append(os.getcwd())
        return importlib.import_module(module)


@cache
def kind_name(kind: type[Part]) -> str:
    """What a kind is called in a dict: its short name in `KINDS`, or "module:Class"."""
    if KINDS.get(getattr(kind, "kind", "")) is kind:
        return kind.kind
    complete(kind)
    if kind.__module__ == "__main__":
        raise ValueError(
            f"The class {kind.__qualname__} must stand in a module that others can import, but is "
            "of the program itself: put it into a file of its own."
        )
    return f"{kind.__module__}:{kind.__qualname__}"


def read_part(what: str, values: Any) -> Part:
    """The part of plain JSON, {"kind": ..., its fields}; a part is itself. Raises ValueError."""
    if not isinstance(values, Mapping):
        if hasattr(type(values), "kind"):
            complete(type(values))
            part: Part = values
            return part
        raise ValueError(f"A {what} must be a table with its `kind`, but got {show(values)}.")
    if not isinstance(values.get("kind"), str):
        raise ValueError(f"A {what} needs `kind`, one of {', '.join(KINDS)} or module:Class.")
    fields = {key: value for key, value in values.items() if key != "kind"}
    return part_from_dict(kind_named(values["kind"]), fields)


def write_part(part: Part) -> dict[str, Any]:
    """Plain JSON of a part; `read_part` gives it back."""
    return part_to_dict(part, kind_name(type(part)))


def placed_kinds() -> tuple[type[Part], ...]:
    """Our kinds that a search space can place, in the order of their tables."""
    return tuple(kind for kind in KINDS.values() if kind.placement is not None)
