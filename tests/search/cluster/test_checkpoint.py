"""A long training that was interrupted goes on where it was, to the numbers of one that was not."""

import dataclasses
import os
import time

import pytest
import torch

from search.cluster import checkpoint
from search.cluster.checkpoint import KeptTraining, file_of, forget_run, run_word
from search.cluster.worker import WEIGHTS, ProxyTrainable
from space import Architecture, Pool
from trainers import Recipe, load_dataset, proxy_epochs

EPOCHS, CUT = 4, 2
CLOCKED = ("seconds", "images_per_second")  # of a report, what a clock says
RECIPE = Recipe(epochs=EPOCHS, warmup_epochs=1.0, drop_path_rate=0.2, augment="crop_flip")
NETWORK = Architecture(
    img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=16, depth=2, num_heads=2,
    reattention=(0, 1), pools=(Pool(after=0, kernel_size=2, stride=2, op="max"),),
)  # fmt: skip


@pytest.fixture(autouse=True)
def keeps_every_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "APART_SECONDS", 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", train_samples=128, val_samples=64)


def worker_on(dataset, *, recipe=RECIPE, run="run", seed=7, **config):
    worker = ProxyTrainable.__new__(ProxyTrainable)
    trial = {"trial": 0, "seed": seed, "architecture": NETWORK.to_dict(), **config}
    worker.setup(trial, dataset, recipe, run=run)
    return worker


def stepped(worker, epochs):
    """Reports of the next epochs, without what a clock says; the weights as bytes."""
    found = []
    for _ in range(epochs):
        result = worker.step()
        assert "failed" not in result, result
        if WEIGHTS in result:
            result[WEIGHTS] = result[WEIGHTS].tobytes()
        found.append({k: v for k, v in result.items() if k not in (*CLOCKED, "kept")})
    return found


def kept_files(tmp_path):
    return [path for path in tmp_path.rglob("trainings/*/*") if path.is_file()]


def cut_off(dataset, **changes):
    """What a worker leaves that is killed in epoch CUT + 1."""
    stepped(worker_on(dataset, **changes), CUT)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_training_gone_on_with_equals_an_uninterrupted_one_to_the_last_bit(
    optimizer, digits, tmp_path
):
    recipe = dataclasses.replace(RECIPE, optimizer=optimizer, layer_decay=0.75)
    whole = stepped(worker_on(digits, recipe=recipe, run=None), EPOCHS)
    cut_off(digits, recipe=recipe)
    worker = worker_on(digits, recipe=recipe)
    told = [worker.step() for _ in range(CUT)]
    assert [result["kept"] for result in told] == [CUT, CUT]
    assert [result["epoch"] for result in told] == [1, 2]
    assert {k: told[1][k] for k in whole[1] if k != "kept"} == whole[1]
    assert stepped(worker, EPOCHS - CUT) == whole[CUT:]
    assert len(kept_files(tmp_path)) == 1  # the driver may not have taken the result in
    worker.cleanup()
    assert not kept_files(tmp_path)


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 8},
        {"run": "another"},
        {"recipe": dataclasses.replace(RECIPE, label_smoothing=0.2)},
        {"parts": 2},
        {"architecture": NETWORK.replace(embed_dim=32).to_dict()},
    ],
    ids=lambda other: next(iter(other)),
)
def test_no_other_training_takes_it(other, digits):
    cut_off(digits)
    assert "kept" not in worker_on(digits, **other).step()
    assert worker_on(digits).step()["kept"] == CUT


@pytest.mark.parametrize("damage", ["empty", "half", "flipped"])
def test_a_damaged_one_is_as_none(damage, digits, tmp_path):
    whole = stepped(worker_on(digits, run=None), EPOCHS)
    cut_off(digits)
    (file,) = kept_files(tmp_path)
    content = bytearray(file.read_bytes())
    content[-1] ^= damage == "flipped"
    file.write_bytes(content[: {"empty": 0, "half": len(content) // 2}.get(damage)])
    assert stepped(worker_on(digits), EPOCHS) == whole


def test_one_of_another_network_is_as_none(digits, tmp_path):
    file = tmp_path / "file"

    def begin(**changes):
        return proxy_epochs(NETWORK.replace(**changes), digits, RECIPE, seed=7, device="cpu")

    next(KeptTraining(lambda: begin(embed_dim=32), file))
    expected = next(begin())
    found = next(KeptTraining(begin, file))
    assert "kept" not in found
    assert found["val_loss"] == expected["val_loss"]


def test_a_training_that_is_stopped_or_fails_leaves_none(digits, tmp_path, monkeypatch):
    worker = worker_on(digits)
    stepped(worker, CUT)
    assert kept_files(tmp_path)
    config = {"trial": 1, "seed": 9, "architecture": NETWORK.to_dict()}
    assert worker.reset_config(config)
    assert not kept_files(tmp_path)
    stepped(worker, CUT)
    assert kept_files(tmp_path)
    monkeypatch.setattr(type(worker._training._training), "_train_epoch", lambda self: torch.nan)
    assert worker.step()["failed"] == "nan"
    assert not kept_files(tmp_path)


def test_a_worker_that_ends_within_a_training_leaves_it_for_the_next(digits, tmp_path):
    worker = worker_on(digits)
    stepped(worker, CUT)
    worker.cleanup()  # as at Ctrl-C
    assert worker_on(digits).step()["kept"] == CUT


def test_short_trainings_are_not_kept_and_long_ones_not_all_the_time(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "LONG_SECONDS", 60.0)
    monkeypatch.setattr(checkpoint, "APART_SECONDS", 10.0)
    written = []
    monkeypatch.setattr(checkpoint, "keep", lambda file, state, told: written.append(len(told)))
    seconds = iter([30.0, 29.0, 2.0, 9.0, 5.0, 100.0])

    class Clocked:
        recipe, epoch = dataclasses.replace(RECIPE, epochs=6), 0

        def __next__(self):
            self.epoch += 1
            return {"epoch": self.epoch, "seconds": next(seconds)}

        def state(self):
            return {}

    training = KeptTraining(Clocked, tmp_path / "file")
    for _ in range(6):
        next(training)
    assert written == [3, 5]  # the sixth is the last, whose weights travel


def test_what_cannot_be_written_is_left_out(digits, tmp_path, monkeypatch):
    def refuses(*rest, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "replace_file", refuses)
    assert len(stepped(worker_on(digits), EPOCHS)) == EPOCHS
    assert not kept_files(tmp_path)


def test_one_that_would_take_much_of_the_disk_is_left_out(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "DISK_SHARE", 1e-12)
    cut_off(digits)
    assert not kept_files(tmp_path)


def test_what_a_run_left_goes_at_its_end_and_of_a_run_that_never_ended_after_a_week(
    digits, tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpoint, "ask_other_nodes", lambda *rest, **options: [])
    for run in ("ended", "old", "young"):
        cut_off(digits, run=run)
    forget_run("ended")
    (old,) = (file for file in kept_files(tmp_path) if file.parent.name == "old")
    long_ago = time.time() - 8 * 86_400
    for path in (old, old.parent):
        os.utime(path, (long_ago, long_ago))
    cut_off(digits, run="new")
    assert {file.parent.name for file in kept_files(tmp_path)} == {"young", "new"}


def test_the_word_of_a_run_is_of_its_beginning_and_its_data():
    run = {"name": "a", "created": "2026-01-01T00:00:00+00:00", "data": {"fingerprint": "f"}}
    assert run_word(run | {"settings": {"trials": 50}}) == run_word(run)
    assert run_word(run | {"data": {"fingerprint": "g"}}) != run_word(run)
    assert run_word(run | {"created": "2026-01-02T00:00:00+00:00"}) != run_word(run)


def test_without_a_cache_folder_nothing_is_kept(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    assert file_of("run", seed=1) is None
