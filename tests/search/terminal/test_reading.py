"""Decoding seen from the command line: how far it is, and what Ctrl-C leaves."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent.parent.parent


@pytest.mark.slow  # two starts of the command line
def test_ctrl_c_while_images_are_decoded_keeps_them_and_says_so(tmp_path):
    picture = tmp_path / "picture.png"
    Image.radial_gradient("L").resize((400, 400)).save(picture)
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(1000):
            (tmp_path / "images" / name / f"{i}.png").hardlink_to(picture)
    command = [
        sys.executable, "-m", "search", "search", "--data", str(tmp_path / "images"), "--img-size",
        "32", "--budget", "5M", "--dry-run",
    ]  # fmt: skip
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    start = subprocess.Popen
    with start(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as driver:
        lines = [driver.stdout.readline()]
        driver.send_signal(signal.SIGINT)
        lines += driver.stdout.readlines()
    assert driver.returncode == 130
    assert re.match(r"Reading images: \d+ of 2000", lines[0])
    end = re.fullmatch(r"Interrupted: (\d+) of 2000 images are decoded and kept; .*\n", lines[-1])
    kept = int(end.group(1))
    assert 0 < kept < 2000
    again = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    steps = re.findall(r"Reading images: (\d+) of (\d+)(.*)", again.stdout)
    # A window that was decoded when the signal came may not have been counted.
    assert {int(total) for _, total, _ in steps} <= {2000 - kept, 2000 - kept - 256}
    assert steps[-1][0] == steps[-1][1]
    assert re.fullmatch(r", \d+ a second, 0:00:0\d left", steps[-1][2])
