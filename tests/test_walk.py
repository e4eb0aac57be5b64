"""The commands of docs/walk.md run as they stand, one after the other."""

import re
import shlex
import subprocess

import pytest
from command_line import ENVIRONMENT, ROOT, command


def walk():
    """The commands of the walk, in order."""
    text = (ROOT / "docs" / "walk.md").read_text(encoding="utf-8")
    return re.findall(r"^ {4}vit-frontier (.+)$", text, re.MULTILINE)


def test_the_walk_goes_from_a_search_to_a_model():
    names = [line.split()[0] for line in walk()]
    assert names[:3] == ["search", "search", "status"]
    assert {"resume", "confirm", "profile", "export", "cache"} <= set(names)


@pytest.mark.slow  # three starts of Ray
def test_every_command_of_the_walk_does_what_it_says(tmp_path):
    environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path)}
    for line in walk():
        done = subprocess.run(
            command(*shlex.split(line)), cwd=tmp_path, env=environment, capture_output=True,
            text=True, check=False, timeout=900,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    run = tmp_path / "runs" / "digits-500K"
    made = {path.name for path in run.iterdir()}
    assert {"report.html", "confirmed.json", "events.jsonl", "profile.json"} <= made
    assert (tmp_path / "my-vit" / "model.safetensors").exists()
