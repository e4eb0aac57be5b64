"""The script for whoever has a GPU for a quarter of an hour, rehearsed on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_gpus_script_runs_through_on_a_cpu(tmp_path):
    environment = {
        **os.environ, "REHEARSE": "1", "OUT": str(tmp_path), "PY": sys.executable,
        "LIMIT": "3000", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    environment.pop("CIFAR", None)
    told = subprocess.run(
        ["bash", str(ROOT / "benchmarks" / "gpu_session.sh")],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3100, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout[-3000:] + told.stderr[-2000:]
    rows = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines()]
    parts = {row["part"] for row in rows}
    assert parts == {"probe", "correct", "speed", "recipe", "timm", "packing", "faults"}
    broken = [row for row in rows if "error" in row and "no $CIFAR" not in row["error"]]
    assert not broken
    same = [row["bitwise"] for row in rows if row["case"].startswith("graphs = eager")]
    assert len(same) == 10
    assert all(same)  # on a CPU both are eager
