"""Two processes that train one network together come to what one comes to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
import dataclasses, json, sys, torch
from space import Architecture
from trainers import load_dataset
from trainers.full_recipe import RECIPES
from trainers.train import FullTraining

if int(sys.argv[2]) > 1:
    torch.distributed.init_process_group(
        "gloo", init_method="file://" + sys.argv[3], rank=int(sys.argv[1]),
        world_size=int(sys.argv[2]),
    )
network = Architecture(
    img_size=8, patch_size=4, in_chans=1, num_classes=10, embed_dim=16, depth=2, num_heads=2,
    mlp_ratio=2, reattention=(0, 1),
)
recipe = RECIPES["deepvit"].changed(epochs=2, batch_size=32, peak=5e-3)
recipe = dataclasses.replace(recipe, drop_path_rate=0.0)  # which workers draw apart
digits = load_dataset("digits", train_samples=128, val_samples=64)
training = FullTraining(network, digits, recipe, seed=0, device=torch.device("cpu"))
print(json.dumps([[r["train_loss"], r["val_loss"]] for r in training]))
"""


def losses(world, tmp_path):
    meeting = tmp_path / f"meeting-{world}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(rank), str(world), str(meeting)], cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True,
        )
        for rank in range(world)
    ]  # fmt: skip
    found = [json.loads(process.communicate(timeout=600)[0]) for process in processes]
    assert all(one == found[0] for one in found)
    return [loss for epoch in found[0] for loss in epoch]


@pytest.mark.slow
def test_two_workers_come_to_the_loss_of_one_with_statistics_of_the_whole_batch(tmp_path):
    """To 1e-4 after two epochs of Re-attention, Mixup and cosine loss: sums in another order."""
    one, two = losses(1, tmp_path), losses(2, tmp_path)
    assert two == pytest.approx(one, abs=1e-4)
    assert one[0] != one[2]
