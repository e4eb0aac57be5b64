"""Wheel and sdist hold every file they need, as setuptools lists them without building either."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("space", "trainers", "results", "search")
SOURCES = (*ROOMS, "tests", "benchmarks", "contrib", "deploy", "docs", "examples")
LIST = """
import setuptools, sys
distribution = setuptools.Distribution({"script_name": "setup.py"})
distribution.parse_config_files()
distribution.get_command_obj("egg_info").egg_base = sys.argv[1]
build = distribution.get_command_obj("build_py")
build.ensure_finalized()
print(*build.get_outputs(include_bytecode=False), sep="\\n")
print("sdist", *distribution.get_command_obj("egg_info").filelist.files, sep="\\n")
"""


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """The files of the wheel's packages, and those of the sdist."""
    words = [sys.executable, "-c", LIST, str(tmp_path_factory.mktemp("egg_info"))]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    wheel, _, sdist = done.stdout.partition("sdist\n")
    return {name.removeprefix("build/lib/") for name in wheel.split()}, set(sdist.split())


def files_of(*folders):
    """The files below folders of the project, Python's own caches apart."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return {str(p.relative_to(ROOT)) for p in found if "__pycache__" not in p.parts}


def test_the_wheel_holds_every_file_of_the_four_packages_and_nothing_else(listed):
    files = files_of(*ROOMS)
    assert {"space/spaces/digits.toml", "results/report.html", "search/py.typed"} <= files
    assert listed[0] == files


def test_the_sdist_holds_what_its_tests_and_documents_need(listed):
    documents = {path.name for path in ROOT.glob("*.md")}
    alone = {"LICENSE", "pyproject.toml", "Makefile", "MANIFEST.in", "CITATION.cff"}
    missing = (files_of(*SOURCES) | documents | alone) - listed[1]
    assert not missing, sorted(missing)
