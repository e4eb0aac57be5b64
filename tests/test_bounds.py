"""The oldest and the newest dependencies that pyproject.toml allows, each in an environment of its
own (GB; needs uv and a package index)."""

import os
import shutil
import subprocess

import pytest
from command_line import ROOT

pytestmark = pytest.mark.slow
COMMANDS = (
    "flops deit_tiny",
    "search --budget 2M --trials 3 --epochs 1 --workers 1 --no-confirm --out run",
    "report run",
    "export run:best --out exported",
)


@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
def test_a_search_its_report_and_an_export_work_by_what_is_allowed(resolution, tmp_path):
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("needs uv")
    python = tmp_path / "env" / "bin" / "python"

    def run(*words):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1800,
            check=False,
        )  # fmt: skip

    assert run(uv, "venv", tmp_path / "env").returncode == 0
    installed = run(
        uv, "pip", "install", "--python", python, "--resolution", resolution,
        "-r", ROOT / "pyproject.toml",
    )  # fmt: skip
    if installed.returncode and "error sending request" in installed.stderr:
        pytest.skip("needs a package index")
    assert installed.returncode == 0, installed.stderr
    for words in COMMANDS:
        done = run(python, "-m", "search", *words.split())
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "run" / "report.html").stat().st_size > 100_000
