"""Writes the package as OptunaHub's registry keeps it.

    python contrib/known_cost_ehvi/build.py REGISTRY

makes REGISTRY/package/samplers/known_cost_ehvi: the files here and, as `_vit_frontier/`, those of
the project that the sampler is made of, so that there is one text of them.
"""

import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DECIDE = HERE.parent.parent / "search" / "decide"
MODULES = ("acquisition", "candidates", "frontier_sampler", "known_cost", "surrogate")
FILES = ("__init__.py", "_sampler.py", "README.md", "LICENSE", "example.py")


def build(registry: Path) -> Path:
    """The folder of the package, made anew."""
    package = registry / "package" / "samplers" / HERE.name
    shutil.rmtree(package, ignore_errors=True)
    inner = package / "_vit_frontier"
    inner.mkdir(parents=True)
    for name in FILES:
        shutil.copy(HERE / name, package / name)
    shutil.copytree(HERE / "tests", package / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    (inner / "__init__.py").write_text("", encoding="utf-8")
    for name in MODULES:
        text = (DECIDE / f"{name}.py").read_text(encoding="utf-8")
        relative = re.sub(
            r"^from search\.decide\.(\w+) import", r"from .\1 import", text, flags=re.M
        )
        (inner / f"{name}.py").write_text(relative, encoding="utf-8")
    return package


if __name__ == "__main__":
    print(build(Path(sys.argv[1])))
