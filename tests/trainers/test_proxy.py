"""Proxy training learns, repeats itself, fails with a reason, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import gc
import math
import os
import random
import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from timm.layers import DropPath
from torch import nn

from space import Architecture, Pool
from trainers import (
    CaptureError,
    Dataset,
    NonFiniteLossError,
    Recipe,
    TrialOutcome,
    evaluate,
    load_dataset,
    proxy_epochs,
    train_proxy,
)
from trainers.device.cuda_graph import Replayed
from trainers.proxy import _with_statistics


def architecture(**changes: Any) -> Architecture:
    values = {"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10}
    return Architecture(**(values | {"embed_dim": 16, "depth": 2, "num_heads": 2} | changes))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits", train_samples=256, val_samples=64)


def first(data: Dataset, count: int) -> Dataset:
    """The first `count` training images, which also validate."""
    images, labels = data.train_images[:count], data.train_labels[:count]
    return dataclasses.replace(
        data, train_images=images, train_labels=labels, val_images=images, val_labels=labels
    )


QUICK = Recipe(epochs=2, warmup_epochs=0.5)


def run(data: Dataset, recipe: Recipe = QUICK, seed: int = 0, **changes: Any) -> TrialOutcome:
    return train_proxy(architecture(**changes), data, recipe, seed, device="cpu")


def numbers(outcome: TrialOutcome) -> list[tuple[float, ...]]:
    return [(e["train_loss"], e["val_loss"], e["accuracy"]) for e in outcome.curve]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, marks=pytest.mark.slow),
        {"reattention": (0, 1)},
        {"pools": (Pool(after=0),), "head": "token"},
        pytest.param({"stem": "conv"}, marks=pytest.mark.slow),
    ],
    ids=["plain", "reattention", "pool", "conv stem"],
)
def test_32_images_are_learned_by_heart(digits: Dataset, changes: dict[str, Any]) -> None:
    recipe = Recipe(epochs=200, warmup_epochs=5, label_smoothing=0.0)
    outcome = run(first(digits, 32), recipe, **{"embed_dim": 32} | changes)
    assert outcome.state == "complete"
    assert outcome.accuracy == 1.0
    assert outcome.curve[-1]["train_loss"] < 0.1


@pytest.mark.parametrize("changes", [{}, {"reattention": (0, 1)}, {"pools": (Pool(after=0),)}])
def test_untrained_loss_is_the_logarithm_of_the_classes(
    digits: Dataset, changes: dict[str, Any]
) -> None:
    model = proxy_epochs(architecture(**changes), digits, QUICK, seed=0, device="cpu").model
    loss, _ = evaluate(
        model, digits.val_images, digits.val_labels, mean=digits.mean, std=digits.std
    )
    assert loss == pytest.approx(math.log(10), abs=0.05)


def test_positional_embeddings_start_as_large_as_the_recipe_says(digits: Dataset) -> None:
    changes = {"pools": (Pool(after=0),), "head": "token"}
    recipe = dataclasses.replace(QUICK, pos_embed_std=0.5)
    model = proxy_epochs(architecture(**changes), digits, recipe, seed=0, device="cpu").model
    deviations = {name: float(p.detach().std()) for name, p in model.named_parameters()}
    assert deviations["pos_embed"] == pytest.approx(0.5, rel=0.2)
    assert deviations["blocks.0.pool.pos_embed"] == pytest.approx(0.5, rel=0.2)
    assert deviations["cls_token"] == pytest.approx(0.02, rel=0.5)


def test_same_seed_same_numbers_and_another_seed_others(digits: Dataset) -> None:
    changes = {"reattention": (1,)}
    one, two, other = (run(digits, seed=seed, **changes) for seed in (7, 7, 8))
    assert numbers(one) == numbers(two)
    assert numbers(one) != numbers(other)
    for ours, theirs in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_drop_path_and_augmentation_repeat_too(digits: Dataset) -> None:
    data = dataclasses.replace(digits, augmentation="crop_flip")
    recipe = dataclasses.replace(QUICK, drop_path_rate=0.3)
    assert numbers(run(data, recipe)) == numbers(run(data, recipe))
    assert numbers(run(data, recipe)) != numbers(run(data))
    assert numbers(run(data, recipe)) != numbers(run(digits, recipe))


def test_numbers_do_not_depend_on_what_ran_before_in_the_process(digits: Dataset) -> None:
    alone = numbers(run(digits, reattention=(0,)))
    training = proxy_epochs(architecture(), digits, QUICK, seed=3, device="cpu")
    next(training)
    torch.manual_seed(99)
    assert numbers(run(digits, reattention=(0,))) == alone


def test_global_generators_are_left_as_they_were(digits: Dataset) -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    run(digits, dataclasses.replace(QUICK, drop_path_rate=0.2))
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])


def test_one_report_per_epoch_with_the_stated_keys(digits: Dataset) -> None:
    reports: list[dict[str, Any]] = []
    outcome = train_proxy(architecture(), digits, QUICK, 0, reports.append, device="cpu")
    assert tuple(reports) == outcome.curve
    assert [report["epoch"] for report in reports] == [1, 2]
    for report in reports:
        assert list(report) == [
            "epoch",
            "train_loss",
            "val_loss",
            "accuracy",
            "seconds",
            "images_per_second",
        ]
        assert all(type(value) in (int, float) for value in report.values())
        assert 0 <= report["accuracy"] <= 1
    assert outcome.seconds >= sum(report["seconds"] for report in reports)


def test_reported_accuracy_is_that_of_the_returned_model(digits: Dataset) -> None:
    outcome = run(digits, reattention=(0, 1))
    assert not outcome.model.training
    loss, accuracy = evaluate(
        outcome.model, digits.val_images, digits.val_labels, mean=digits.mean, std=digits.std
    )
    assert accuracy == outcome.accuracy
    assert loss == pytest.approx(outcome.curve[-1]["val_loss"], rel=1e-5)


def test_report_that_returns_false_stops_the_training(digits: Dataset) -> None:
    recipe = dataclasses.replace(QUICK, epochs=5)
    outcome = train_proxy(
        architecture(), digits, recipe, 0, lambda report: report["epoch"] < 2, device="cpu"
    )
    assert outcome.state == "stopped"
    assert len(outcome.curve) == 2
    assert outcome.model is not None


def test_stop_after_the_last_epoch_is_complete(digits: Dataset) -> None:
    outcome = train_proxy(
        architecture(), digits, QUICK, 0, lambda report: report["epoch"] < 2, device="cpu"
    )
    assert outcome.state == "complete"


def test_loss_that_is_not_a_number_ends_the_trial_with_a_reason(digits: Dataset) -> None:
    recipe = Recipe(epochs=3, learning_rate=9.9, warmup_epochs=0, weight_decay=9.0, clip_grad=None)
    data = dataclasses.replace(digits, mean=(math.nan,))
    outcome = run(data, recipe)
    assert (outcome.state, outcome.error_kind) == ("failed", "nan")
    assert outcome.error == "NonFiniteLossError: the training loss is nan in epoch 1"
    assert outcome.curve == ()
    assert outcome.accuracy is None
    with pytest.raises(NonFiniteLossError):
        next(proxy_epochs(architecture(), data, recipe, seed=0, device="cpu"))


def test_loss_that_grows_without_bound_keeps_the_epochs_before(digits: Dataset) -> None:
    training = proxy_epochs(architecture(), digits, QUICK, seed=0, device="cpu")
    assert math.isfinite(next(training)["train_loss"])
    with torch.no_grad():
        training.model.head.weight.fill_(math.inf)
    with pytest.raises(NonFiniteLossError, match="in epoch 2"):
        next(training)


def test_validation_loss_that_is_not_finite_is_never_reported(digits: Dataset) -> None:
    training = proxy_epochs(architecture(), digits, QUICK, seed=0, device="cpu")
    training._val = dataclasses.replace(training._val, pixels=training._val.pixels * math.nan)
    with pytest.raises(NonFiniteLossError, match="validation loss is nan in epoch 1"):
        next(training)


def test_exception_in_a_report_is_a_failed_trial(digits: Dataset) -> None:
    def report(epoch: dict[str, Any]) -> None:
        raise KeyError("x")

    outcome = train_proxy(architecture(), digits, QUICK, 0, report, device="cpu")
    assert (outcome.state, outcome.error_kind) == ("failed", "exception")
    assert len(outcome.curve) == 1


LITTLE_MEMORY = """
import resource
from space import Architecture
from trainers import Recipe, load_dataset, train_proxy

data = load_dataset("digits", train_samples=64)
values = {"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "num_heads": 1}
small = train_proxy(Architecture(embed_dim=8, depth=1, **values), data, Recipe(epochs=1), 0)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
large = train_proxy(Architecture(embed_dim=8192, depth=4, **values), data, Recipe(epochs=1), 0)
after = train_proxy(Architecture(embed_dim=8, depth=1, **values), data, Recipe(epochs=1), 0)
print(small.state, large.state, large.error_kind, after.state)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit on memory")
@pytest.mark.slow
def test_too_large_a_network_is_out_of_memory_and_the_next_trial_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.stdout.split() == ["complete", "failed", "out_of_memory", "complete"], done.stderr


@pytest.mark.parametrize("changes", [{"num_classes": 9}, {"in_chans": 3}])
def test_architecture_for_other_data_is_refused(digits: Dataset, changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"\(in_chans, num_classes\) must be the dataset's"):
        proxy_epochs(architecture(**changes), digits, QUICK, seed=0)


def test_images_are_resized_for_an_architecture_of_another_size(digits: Dataset) -> None:
    outcome = run(digits, img_size=4, patch_size=1)
    assert outcome.state == "complete"
    assert outcome.error is None


def test_read_only_images_are_trained_on_and_left_untouched(digits: Dataset) -> None:
    arrays = {
        field.name: getattr(digits, field.name).copy()
        for field in dataclasses.fields(Dataset)
        if isinstance(getattr(digits, field.name), np.ndarray)
    }
    for array in arrays.values():
        array.flags.writeable = False
    frozen = dataclasses.replace(digits, augmentation="crop_flip", **arrays)
    outcome = run(frozen)
    assert outcome.state == "complete"
    np.testing.assert_array_equal(frozen.train_images, digits.train_images)


def test_fewer_images_than_a_batch_are_one_batch(digits: Dataset) -> None:
    assert run(first(digits, 5)).state == "complete"


def test_batch_norm_statistics_are_those_of_training_batches(digits: Dataset) -> None:
    data = first(digits, 64)  # one batch holds all, so that the statistics are exact
    training = proxy_epochs(architecture(reattention=(0, 1)), data, QUICK, seed=0, device="cpu")
    next(training)
    norms = [m for m in training.model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 2
    before = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 1.0  # the next forward in training mode replaces the statistics
    training.model.train()
    with torch.no_grad():
        training.model(training._train.batch(torch.arange(64)))
    for norm, (mean, variance) in zip(norms, before, strict=True):
        torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(norm.running_var, variance, rtol=1e-3, atol=1e-9)
    assert not any(norm.momentum is None for norm in norms)


def test_every_image_is_seen_once_an_epoch_in_a_new_order(digits: Dataset) -> None:
    training = proxy_epochs(architecture(), digits, QUICK, seed=0, device="cpu")
    one, two = training._batches(), training._batches()
    assert sorted(one.flatten().tolist()) == list(range(256))
    assert one.tolist() != two.tolist()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_learns_in_bf16(digits: Dataset) -> None:
    recipe = Recipe(epochs=200, warmup_epochs=5, label_smoothing=0.0)
    data = dataclasses.replace(first(digits, 32))
    outcome = train_proxy(architecture(reattention=(1,), embed_dim=32), data, recipe, 0)
    assert outcome.accuracy == 1.0
    assert next(outcome.model.parameters()).is_cuda


def test_steps_are_those_of_a_plain_loop(digits: Dataset) -> None:
    """Batches, learning rates, clipping and AdamW as anyone would write them, 52 steps."""
    recipe = Recipe(epochs=13, warmup_epochs=2.5, clip_grad=0.5)
    training = proxy_epochs(architecture(reattention=(1,)), digits, recipe, seed=0, device="cpu")
    plain = proxy_epochs(architecture(reattention=(1,)), digits, recipe, seed=0, device="cpu")
    model, steps = plain.model, 0
    optimizer = torch.optim.AdamW(
        [
            {"params": group["params"], "weight_decay": group["weight_decay"]}
            for group in plain._optimizers[0].param_groups
        ]
    )
    for _ in range(recipe.epochs):
        losses = []
        model.train()
        for rows in plain._batches():
            rate = recipe.learning_rate_at(steps, steps_per_epoch=4)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = nn.functional.cross_entropy(
                model(plain._train.batch(rows)), plain._train.labels[rows], label_smoothing=0.1
            )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            losses.append(loss.item())
            steps += 1
        assert next(training)["train_loss"] == pytest.approx(np.mean(losses), rel=1e-4)
        plain._recalibrate()
    assert steps == 52


def test_statistics_are_averaged_anew_without_dropping_paths(digits: Dataset) -> None:
    """The maps of the second block are then what they are in eval mode: nothing is left out."""
    training = proxy_epochs(
        architecture(reattention=(1,)), digits, Recipe(epochs=1, drop_path_rate=0.9), seed=0
    )
    next(training)
    model, variances = training.model, []
    for _ in range(2):
        training._recalibrate()
        variances.append(model.blocks[1].attn.var_norm.running_var.clone())
    paths = [m for m in model.modules() if isinstance(m, DropPath)]
    assert paths
    assert not any(path.training for path in paths)
    torch.testing.assert_close(variances[0], variances[1], rtol=0.2, atol=0)


def test_recalibration_knows_norms_by_type() -> None:
    class Frozen(nn.BatchNorm1d):
        def train(self, mode: bool = True) -> Frozen:
            return super().train(False)

    norms = nn.BatchNorm1d(4), nn.SyncBatchNorm(4), nn.BatchNorm3d(4)
    without = nn.BatchNorm2d(4, track_running_stats=False)
    model = nn.Sequential(*norms, without, Frozen(4), nn.LayerNorm(4))
    assert _with_statistics(model) == list(norms)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("changes", [{}, {"reattention": (0, 1)}, {"stem": "conv"}])
@pytest.mark.parametrize("amp", ["auto", "off"])
def test_a_cuda_graph_trains_as_kernels_one_by_one(
    digits: Dataset, changes: dict[str, Any], amp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    data = dataclasses.replace(digits, augmentation="crop_flip")
    recipe = Recipe(epochs=13, warmup_epochs=2.5, amp=amp, drop_path_rate=0.1)
    one, other = (
        proxy_epochs(architecture(**changes), data, recipe, seed=0, graphs=graphs)
        for graphs in (False, True)
    )
    for ours, theirs in zip(one, other, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-3)
        assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-3)
    assert all(part._graph is not None for part in (other._step, other._validate))


@pytest.mark.parametrize(
    ("told", "raised", "sentence"),
    [
        (RuntimeError("operation not permitted\nwhen stream is capturing"), CaptureError,
         r"no CUDA graph .*\(operation not permitted\): end this process.* graphs=False$"),
        (torch.cuda.OutOfMemoryError("too little"), torch.cuda.OutOfMemoryError, "too little"),
    ],
)  # fmt: skip
def test_a_failed_capture_is_an_error_of_its_own_unless_memory_ran_out(
    told: Exception, raised: type[Exception], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the GPU: what a broken capture leaves behind is torch's and not shown here."""

    def capture(self: Replayed[int]) -> None:
        raise told

    monkeypatch.setattr(Replayed, "_run_aside", lambda self: self._function())
    monkeypatch.setattr(Replayed, "_capture", capture)
    replayed = Replayed(lambda: 7, enabled=True, warm_up=1)
    assert replayed() == 7
    with pytest.raises(raised, match=sentence):
        replayed()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_what_cannot_be_captured_says_so() -> None:
    """Alone in its process, or last: what comes after it cannot use the GPU's memory properly."""
    total = torch.zeros((), device="cuda")

    def step() -> float:
        total.add_(1)
        return total.item()  # waits for the device, which a capture refuses

    replayed = Replayed(step, enabled=True, warm_up=1)
    assert replayed() == 1
    with pytest.raises(CaptureError, match="no CUDA graph"):
        replayed()


def test_a_training_that_is_over_is_freed_at_once(digits: Dataset) -> None:
    """On a GPU its graphs and their memory would else be there beside the next training."""
    training = proxy_epochs(architecture(reattention=(1,)), digits, QUICK, seed=0, device="cpu")
    next(training)
    there = weakref.ref(training)
    gc.disable()
    try:
        del training
        assert there() is None
    finally:
        gc.enable()


def test_a_batch_in_two_parts_trains_alike(digits: Dataset) -> None:
    whole = proxy_epochs(architecture(), digits, QUICK, seed=0, device="cpu")
    halves = proxy_epochs(architecture(), digits, QUICK, seed=0, device="cpu", parts=2)
    assert next(halves)["train_loss"] == pytest.approx(next(whole)["train_loss"], rel=1e-4)


def test_images_stay_on_the_device_from_one_training_to_the_next(digits: Dataset) -> None:
    first = proxy_epochs(architecture(), digits, QUICK, seed=0, device="cpu")
    second = proxy_epochs(architecture(), digits, QUICK, seed=1, device="cpu")
    assert first._train.pixels is second._train.pixels
    copied = dataclasses.replace(digits, train_images=digits.train_images.copy())
    third = proxy_epochs(architecture(), copied, QUICK, seed=1, device="cpu")
    assert first._train.pixels is not third._train.pixels
