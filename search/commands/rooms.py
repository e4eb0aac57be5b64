"""Whether the four packages that Python imports are those of this distribution."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

BEGIN = {  # the first words of each package
    "space": '"""What can be built',
    "trainers": '"""How a model is scored',
    "results": '"""What came out of a search',
}


def refuse_foreign_rooms() -> None:
    """Raises ValueError if another distribution, or a folder of the user's, has taken the name of
    one of them: PyPI has a `results` of its own."""
    for name, begin in BEGIN.items():
        spec = find_spec(name)
        file = None if spec is None or spec.origin is None else Path(spec.origin)
        if file is not None and file.is_file() and file.read_bytes().startswith(begin.encode()):
            continue
        where = file or (list(spec.submodule_search_locations or [])[:1] if spec else "nowhere")
        raise ValueError(
            f"The package {name!r} must be that of vit-frontier, but Python finds {where}: rename "
            "the folder, or install vit-frontier in an environment of its own (uv tool install, "
            "pipx, venv) and again if another distribution wrote over it."
        )


def refuse_no_docstrings() -> None:
    """Raises ValueError under `python -OO`: the library of the charts asks for its docstrings."""
    if sys.flags.optimize > 1:
        raise ValueError(
            "Python must keep docstrings, which the charts are made with, but runs with -OO or "
            "PYTHONOPTIMIZE=2: leave that out, or use -O."
        )
