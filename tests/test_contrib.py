"""The sampler as a package of its own: built, it stands without the project."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "contrib" / "known_cost_ehvi" / "build.py"


def test_the_package_for_optunahub_passes_its_tests_without_the_project(tmp_path):
    subprocess.run([sys.executable, str(BUILD), str(tmp_path)], check=True, timeout=60)
    package = tmp_path / "package" / "samplers" / "known_cost_ehvi"
    texts = [path.read_text(encoding="utf-8") for path in package.rglob("*.py")]
    assert not any(f"from {room}" in text for text in texts for room in ("search", "space"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=package, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout[-3000:]
    assert "7 passed" in told.stdout
