"""Imports between the rooms go in one direction, and heavy libraries live in one room."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "space": {"space"},
    "trainers": {"space", "trainers"},
    "results": {"space", "results"},
    "search": {"space", "trainers", "results", "search"},
}
ONLY_IN = {
    "ray": {"search"},
    "fvcore": {"space"},
    "altair": {"results"},
    "jinja2": {"results"},
    "torchvision": {"trainers"},
    "typer": {"search"},
    "optuna": {"search", "results"},
}


def imports(room):
    for file in sorted((ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((file.name, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield file.name, node.module


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_it_may(room):
    for file, module in imports(room):
        top = module.split(".")[0]
        assert top not in MAY_IMPORT or top in MAY_IMPORT[room], f"{room}/{file}: {module}"
        assert top not in ONLY_IN or room in ONLY_IN[top], f"{room}/{file}: {module}"
        for part, only in (("optuna.samplers", "search"), ("timm.layers", "space")):
            assert room == only or not module.startswith(part), f"{room}/{file}: {module}"


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_no_room_reads_pickles(room):
    modules = {module.split(".")[0] for _, module in imports(room)}
    assert not modules & {"pickle", "cloudpickle", "dill", "shelve", "joblib"}
    for file in (ROOT / room).glob("*.py"):
        code = file.read_text(encoding="utf-8")
        assert "torch.load(" not in code, file
        assert "allow_pickle=True" not in code, file
