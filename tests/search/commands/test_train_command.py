"""`vit-frontier train` as its users run it: what it leaves, how it goes on, how it ends."""

import csv
import json
import os
import signal

import pytest
import torch
from command_line import call_here, wait_for
from safetensors.torch import load_file, save_file

NETWORK = {
    "img_size": 8, "patch_size": 4, "in_chans": 1, "num_classes": 10, "embed_dim": 16, "depth": 2,
    "num_heads": 2, "mlp_ratio": 2, "reattention": [1],
}  # fmt: skip


@pytest.fixture
def network(tmp_path):
    file = tmp_path / "tiny.json"
    file.write_text(json.dumps(NETWORK))
    return file


def words(network, out, *, epochs=2, batch=32):
    return (
        "train", network, "--train-samples", 128, "--val-samples", 64, "--epochs", epochs,
        "--batch-size", batch, "--lr", "5e-3", "--out", out,
    )  # fmt: skip


def test_a_training_leaves_a_folder_that_timm_loads(network, tmp_path, monkeypatch, capsys):
    import timm

    from trainers import evaluate, load_dataset

    out = tmp_path / "out"
    code, said = call_here(monkeypatch, capsys, *words(network, out), "--json")
    assert code == 0, said
    told = json.loads((out / "train.json").read_text())
    result = json.loads(said[said.index('{"folder"') :].splitlines()[0])
    assert told["result"] == {k: v for k, v in result.items() if k != "folder"}
    assert (told["schema"], told["recipe"]["epochs"]) == (1, 2)
    rows = list(csv.DictReader((out / "log.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    lines = [line for line in said.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 2
    assert all(len(line) <= 60 for line in lines)

    model = timm.create_model(f"local-dir:{out / 'model'}", pretrained=True).eval()
    data = load_dataset("digits")
    accuracy = evaluate(
        model, data.test_images, data.test_labels,
        mean=tuple(told["data"]["mean"]), std=tuple(told["data"]["std"]),
    )[1]  # fmt: skip
    key = "ema_test_accuracy" if result["weights"] == "ema" else "test_accuracy"
    assert accuracy == result[key]

    before = (out / "checkpoint.safetensors").stat().st_mtime_ns
    code, again = call_here(monkeypatch, capsys, *words(network, out))
    assert code == 0
    assert f"Test accuracy {result['test_accuracy']:.4f}" in again
    assert (out / "checkpoint.safetensors").stat().st_mtime_ns == before

    code, refused = call_here(monkeypatch, capsys, *words(network, out, batch=16))
    assert code == 2
    assert "already holds a training whose `batch_size` is 32, not 16" in refused


@pytest.mark.slow
def test_a_training_that_was_interrupted_and_killed_equals_the_uninterrupted(
    network, tmp_path, start, monkeypatch, capsys
):
    out, log = tmp_path / "out", tmp_path / "log"
    driver = start(log, *words(network, out, epochs=12, batch=4))
    wait_for(log, "epoch 1 of 12", driver)
    driver.send_signal(signal.SIGINT)
    assert driver.wait(timeout=300) == 130, log.read_text()
    assert f"Interrupted. Go on by: vit-frontier resume {out}" in log.read_text()
    driver = start(log, "resume", out)
    wait_for(log, "Going on after epoch", driver)
    kept = (out / "checkpoint.safetensors").stat().st_mtime_ns
    while (out / "checkpoint.safetensors").stat().st_mtime_ns == kept:
        assert driver.poll() is None, log.read_text()
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert json.loads((out / "train.json").read_text())["result"] is None
    code, said = call_here(monkeypatch, capsys, "resume", out)
    assert code == 0, said
    code, said = call_here(
        monkeypatch, capsys, *words(network, tmp_path / "whole", epochs=12, batch=4)
    )
    assert code == 0, said
    ours, theirs = (load_file(f / "checkpoint.safetensors") for f in (out, tmp_path / "whole"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    log_of = [(f / "log.csv").read_text().splitlines() for f in (out, tmp_path / "whole")]
    losses = [[line.split(",")[:5] for line in lines] for lines in log_of]
    assert losses[0] == losses[1]


def test_a_loss_that_is_not_finite_ends_with_its_reason(network, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert call_here(monkeypatch, capsys, *words(network, out))[0] == 0
    state = load_file(out / "checkpoint.safetensors")
    state["model.head.weight"].fill_(float("nan"))
    state["epoch"].fill_(1)
    save_file(state, out / "checkpoint.safetensors")
    told = json.loads((out / "train.json").read_text())
    (out / "train.json").write_text(json.dumps({**told, "result": None}))
    code, said = call_here(monkeypatch, capsys, "resume", out)
    assert code == 1
    assert "Error: the training loss is nan in epoch 2: train again with a lower --lr" in said

    (out / "checkpoint.safetensors").write_bytes(b"half of it")
    code, said = call_here(monkeypatch, capsys, "resume", out)
    assert code == 2
    assert "must hold the state of a training" in said


@pytest.mark.parametrize(
    ("changed", "options", "sentence"),
    [
        ({"num_classes": 7}, (), "(in_chans, num_classes, img_size) must be those of the images"),
        ({"in_chans": 3}, (), "(in_chans, num_classes, img_size) must be those of the images"),
        ({}, ("--recipe", "deti"), "`--recipe` must be one of"),
        ({}, ("--epochs", 0), "`--epochs` must be an integer from 1"),
        ({}, ("--lr", 11), "`--lr` must be a number above 0"),
        ({"stem": "conv", "patch_size": 16, "img_size": 32}, ("--workers", 2), "must be 1 on CPUs"),
        ({}, ("--data", "digit"), "did you mean 'digits'?"),
    ],
)
def test_wrong_use_is_told_and_leaves_nothing(
    changed, options, sentence, network, tmp_path, monkeypatch, capsys
):
    network.write_text(json.dumps({**NETWORK, "reattention": [], **changed}))
    out = tmp_path / "out"
    code, said = call_here(monkeypatch, capsys, "train", network, "--out", out, *options)
    assert (code, sentence in said) == (2, True), said
    assert not out.exists()


def test_resume_refuses_what_only_a_search_has(network, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "train.json").write_text("{}")
    code, said = call_here(monkeypatch, capsys, "resume", out, "--trials", 3)
    assert code == 2
    assert "`--trials` must not be given" in said
    code, said = call_here(monkeypatch, capsys, "resume", out)
    assert code == 2
    assert "must be a training with `schema` 1" in said


@pytest.mark.slow
def test_two_workers_come_to_the_loss_of_one(network, tmp_path, monkeypatch, capsys):
    """To 1e-4 after two epochs of equal batches: sums are in another order. One block of
    Re-attention has no drop path, which workers draw apart."""
    network.write_text(json.dumps({**NETWORK, "depth": 1, "reattention": [0]}))
    losses = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        code, said = call_here(
            monkeypatch, capsys, *words(network, out), "--recipe", "deepvit", "--workers", workers
        )
        assert code == 0, said
        rows = list(csv.DictReader((out / "log.csv").open()))
        losses.append([float(row["train_loss"]) for row in rows])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert losses[0][0] != losses[0][1]
