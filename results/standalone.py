"""One Python file that builds and loads exported networks where only torch and timm are installed.

It holds the text of the files of `space` that build networks, under a package name of its own.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

from space.parts import KINDS

FILE = "modeling_vit_frontier.py"
_START = "space.model"  # what all that is needed is imported by

_HEAD = '''\
"""Loads the network of this folder with torch and timm alone. License of this code: Apache-2.0.

    from modeling_vit_frontier import load

    model = load().eval()  # takes what timm.create_model takes: load(num_classes=3)

Written by vit-frontier: below is the text of those of its files that build networks.
"""

import importlib.abc
import importlib.util
import sys
import warnings
from pathlib import Path

PACKAGE = "{package}"


def load(folder=Path(__file__).parent, pretrained=True, **options):
    """The network of an exported folder, by default this file's; `options` as timm's."""
    import timm

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Overwriting vit_frontier in registry")
        importlib.import_module(PACKAGE + ".model")  # registers vit_frontier with timm
    return timm.create_model(f"local-dir:{{folder}}", pretrained=pretrained, **options)


class Sources(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports modules from their texts below."""

    def find_spec(self, name, path=None, target=None):
        if name in SOURCES:
            return importlib.util.spec_from_loader(name, self, is_package=self.is_package(name))
        return None

    def is_package(self, name):
        return any(other.startswith(name + ".") for other in SOURCES)

    def get_source(self, name):
        return SOURCES[name]

    def get_code(self, name):
        return compile(SOURCES[name], f"{{__file__}}/{{name}}", "exec", dont_inherit=True)


SOURCES = {{}}
'''
_TAIL = """
if not any(type(finder).__name__ == "Sources" and finder.find_spec(PACKAGE)
           for finder in sys.meta_path):
    sys.meta_path.append(Sources())
"""


@cache
def standalone() -> str:
    """The text of the file."""
    sources = dict(sorted(_needed()))
    digest = hashlib.sha256(repr(sources).encode()).hexdigest()[:8]
    package = f"vit_frontier_{digest}"  # of another version: another package
    parts = [_HEAD.format(package=package)]
    for module, source in sources.items():
        text = _renamed(source, package)
        name = package + module.removeprefix("space")
        parts.append(f"SOURCES[{name!r}] = {_literal(text)}\n")
    return "\n".join(parts) + _TAIL


def own_kinds(architecture: dict[str, Any]) -> list[str]:
    """The kinds of an architecture's dict that another's module defines, as "module:Class"."""
    found = {kind for kind in _kinds(architecture) if kind not in KINDS}
    return sorted(found)


def _kinds(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("kind"), str):
            yield value["kind"]
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _kinds(one)


def _needed() -> Iterator[tuple[str, str]]:
    """(module, source) of all that `_START` imports of `space`, now or when something is built."""
    waiting, seen = [_START], {"space"}
    yield "space", ""  # its own text imports search spaces, which nobody needs to build
    while waiting:
        module = waiting.pop()
        source = _source(module)
        if source is None or module in seen:
            continue
        seen.add(module)
        yield module, source
        waiting += [module.rpartition(".")[0], *_imported(source)]


def _source(module: str) -> str | None:
    """The text of a module of `space`; None if there is no such module."""
    place = resources.files("space").joinpath(*module.split(".")[1:])
    for file in (place.joinpath("__init__.py"), resources.files("space").joinpath(
        *module.split(".")[1:-1], module.rpartition(".")[2] + ".py"
    )):  # fmt: skip
        if file.is_file():
            return file.read_text(encoding="utf-8")
    return None


def _imported(source: str) -> Iterator[str]:
    """The modules of `space`, and names in them, that a text imports while it runs."""
    tree = ast.parse(source)
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in for_types:
            module = node.module or ""
            if module.partition(".")[0] == "space":
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names)


def _renamed(source: str, package: str) -> str:
    """The text with its imports from `space` as imports from `package`."""
    return re.sub(r"(?m)^(\s*)from space(?=[. ])", rf"\1from {package}", source)


def _literal(text: str) -> str:
    """The text as Python writes it, readable where that can be."""
    raw = f"r'''{text}'''"
    try:
        readable = "'''" not in text and ast.literal_eval(raw) == text
    except SyntaxError:
        readable = False
    return raw if readable else repr(text)
