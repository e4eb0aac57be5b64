"""Kinds of parts that the project does not know are searched, resumed, reported and exported."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ENVIRONMENT, ROOT

FILES = Path(__file__).parent / "made_up"
PROBE = """
import sys, torch, timm, space.model
import made_up
model = timm.create_model("local-dir:" + sys.argv[1], pretrained=True).train()
model(torch.zeros(2, 1, 8, 8))
kinds = {type(module).__name__ for module in model.modules()}
assert {"Mean", "Stepping", "Penalised"} <= kinds, kinds
assert len(model.losses()) == 1
print("loaded")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    for file in FILES.iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    return folder


def run(folder, *words):
    environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=folder, env=environment, capture_output=True,
        text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow  # several starts of Ray
def test_a_search_in_made_up_kinds_by_two_workers_goes_on_is_reported_and_carried_away(folder):
    search = ["-m", "search"]
    run(
        folder, *search, "search", "--budget", "1M", "--space", "made_up.toml", "--trials", "4",
        "--epochs", "1", "--workers", "2", "--out", "run", "--no-baselines",
    )  # fmt: skip
    run(folder, *search, "resume", "run", "--trials", "6")
    run(folder, *search, "report", "run")
    front = json.loads((folder / "run" / "frontier.json").read_text())["points"]
    assert front
    for member in front:
        stages = member["architecture"]["stages"]
        kinds = {stage[role]["kind"] for stage in stages for role in ("attention", "mlp")}
        assert {"made_up:MeanAttention", "made_up:Sparse"} <= kinds | {"made_up:Sparse"}
    page = (folder / "run" / "report.html").read_text()
    assert "&lt;mean&gt; attention" in page
    assert "#123456" in page
    assert "<mean>" not in page
    shown = run(folder, *search, "status", "run")
    assert "6 complete" in shown or "complete" in shown
    run(folder, *search, "export", "run", front[-1]["trial"], "--out", "carried")
    assert "loaded" in run(folder, "-c", PROBE, "carried")


def test_a_kind_that_cannot_be_imported_ends_in_one_sentence(folder, tmp_path):
    text = (folder / "made_up.toml").read_text().replace("made_up:", "nowhere:")
    (tmp_path / "space.toml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "search", "--budget", "1M", "--space", "space.toml"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "'nowhere:MeanAttention' must be a class that Python can import" in done.stderr
