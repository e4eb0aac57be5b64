"""The command line before any command: its version, and that its packages are its own."""

import subprocess
import sys
from importlib import metadata

from command_line import ENVIRONMENT, ROOT, call


def test_the_version_is_that_of_the_distribution():
    done = call("--version")
    assert done.returncode == 0
    assert metadata.version("vit-frontier") in done.stdout


def test_a_folder_that_takes_the_name_of_a_package_is_named(tmp_path):
    for name in ("results", "space"):
        folder = tmp_path / name
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("x = 1\n")
        paths = f"{folder}:{ROOT}"
        done = subprocess.run(
            [sys.executable, "-P", "-m", "search", "status", "nothing"], cwd=tmp_path,
            env={**ENVIRONMENT, "PYTHONPATH": paths}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert f"The package '{name}' must be that of vit-frontier" in done.stderr
        assert str(folder) in done.stderr


def test_a_file_that_is_no_utf8_is_named_too(tmp_path):
    (tmp_path / "results.py").write_bytes(b'"""R\xe9sultats."""\n')
    done = subprocess.run(
        [sys.executable, "-P", "-m", "search", "status", "nothing"], cwd=tmp_path,
        env={**ENVIRONMENT, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("Error: The package 'results' must be that of vit-frontier")


def test_python_without_docstrings_is_refused_in_a_sentence():
    done = subprocess.run(
        [sys.executable, "-OO", "-m", "search", "flops", "deit_tiny"], cwd=ROOT,
        env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Python must keep docstrings")
