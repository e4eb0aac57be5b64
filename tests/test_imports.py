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
NOT_IN = {  # a room inside `search` -> what it does without, and why
    "commands": {"ray": "cluster/ runs", "optuna": "study/ remembers"},
    "terminal": {"ray": "cluster/ runs", "optuna": "study/ remembers"},
    "logs": {"ray": "cluster/ runs", "optuna": "study/ remembers"},
    "decide": {"ray": "cluster/ runs", "sqlalchemy": "study/ remembers"},
    "study": {"ray": "cluster/ runs"},
    "": {"ray": "cluster/ runs"},  # the files of `search` itself
}
DISK_MODULES = {"os", "shutil", "sqlite3", "pathlib", "tempfile", "glob", "fileinput", "mmap", "io"}
DISK_NAMES = {"open", "Path", "read_text", "write_text", "read_bytes", "write_bytes", "mkdir"}
DISK_NAMES |= {"unlink", "rmdir", "touch", "iterdir", "rglob", "exists", "is_file", "is_dir"}
DISK_NAMES |= {"load", "save", "savez", "loadtxt", "savetxt", "genfromtxt", "memmap", "fromfile"}
DISK_NAMES |= {"tofile"}  # NumPy's are the last ten


def imports(room, *, below=True):
    for file in sorted((ROOT / room).rglob("*.py") if below else (ROOT / room).glob("*.py")):
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


@pytest.mark.parametrize("room", NOT_IN)
def test_a_room_of_the_search_does_without_what_another_is_for(room):
    known = {folder.name for folder in (ROOT / "search").iterdir() if folder.is_dir()}
    assert known - {"__pycache__"} == {*NOT_IN, "cluster"} - {""}
    found = imports(f"search/{room}") if room else imports("search", below=False)
    for file, module in found:
        top = module.split(".")[0]
        assert top not in NOT_IN[room], f"search/{room}/{file}: {module}, but {NOT_IN[room][top]}"


def test_what_decides_touches_no_disk():
    """Proposals depend on the study alone, and can be made anywhere."""
    for file, module in imports("search/decide"):
        assert module.split(".")[0] not in DISK_MODULES, f"{file}: {module}"
        assert not module.startswith(("search.study", "search.cluster")), f"{file}: {module}"
    for file in sorted((ROOT / "search" / "decide").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = getattr(node, "func", None)
            name = getattr(called, "attr", None) or getattr(called, "id", None)
            assert name not in DISK_NAMES, f"{file.name}, line {node.lineno}: {name}(...)"


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_no_room_reads_pickles(room):
    modules = {module.split(".")[0] for _, module in imports(room)}
    assert not modules & {"pickle", "cloudpickle", "dill", "shelve", "joblib"}
    for file in (ROOT / room).glob("*.py"):
        code = file.read_text(encoding="utf-8")
        assert "torch.load(" not in code, file
        assert "allow_pickle=True" not in code, file
