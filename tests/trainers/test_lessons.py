"""A teacher in a proxy training: kept logits are those of a teacher beside it, and change it."""

import dataclasses

import numpy as np
import pytest
import torch

from space import Architecture, build_model
from trainers import Recipe, load_dataset, proxy_epochs
from trainers.images.stored import StoredImages
from trainers.lessons import kept_logits, runs_beside
from trainers.teacher import Teacher

NETWORK = Architecture.from_dict({
    "img_size": 8, "patch_size": 4, "in_chans": 1, "num_classes": 10, "embed_dim": 16, "depth": 1,
    "num_heads": 2, "mlp_ratio": 2,
})  # fmt: skip
RECIPE = Recipe(epochs=2, batch_size=32, warmup_epochs=0.5)


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", train_samples=80, val_samples=32)


def teacher_of(digits, seed=1):
    torch.manual_seed(seed)
    model = build_model(NETWORK).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return Teacher(model, digits, mean=digits.mean, std=digits.std, img_size=8)


def losses(digits, teacher, recipe=RECIPE, **options):
    training = proxy_epochs(
        NETWORK, digits, recipe, seed=3, device="cpu", teacher=teacher, **options
    )
    return [epoch["train_loss"] for epoch in training]


def test_logits_that_were_kept_teach_as_the_teacher_beside_does(digits):
    teacher = teacher_of(digits)
    logits = kept_logits(teacher, digits, None)
    assert logits.shape == (80, 10)
    beside = losses(digits, teacher)
    assert losses(digits, logits) == pytest.approx(beside, rel=1e-5)
    assert losses(digits, logits, parts=2) == pytest.approx(beside, rel=1e-4)
    assert losses(digits, logits[::-1].copy()) != pytest.approx(beside, rel=1e-3)
    without = dataclasses.replace(RECIPE, distillation_alpha=0.0)
    assert losses(digits, teacher, without) == losses(digits, None)
    assert losses(digits, None) != pytest.approx(beside, rel=1e-3)


def test_streamed_images_have_the_logits_of_their_rows(digits, tmp_path):
    np.save(tmp_path / "images.npy", digits.train_images[::-1])
    stored = StoredImages(tmp_path / "images.npy", np.arange(80)[::-1].copy())
    streamed = dataclasses.replace(digits, train_images=stored)
    teacher = teacher_of(digits)
    logits = kept_logits(teacher, streamed, tmp_path)
    np.testing.assert_allclose(logits, kept_logits(teacher, digits, None), rtol=1e-5, atol=1e-5)
    assert losses(streamed, logits) == pytest.approx(losses(digits, teacher), rel=1e-5)


def test_a_teacher_runs_once_over_the_same_images_and_again_over_others(digits, tmp_path):
    teacher, seen = teacher_of(digits), []
    first = kept_logits(teacher, digits, tmp_path, lambda done, total: seen.append((done, total)))
    assert seen == [(80, 80)]
    np.testing.assert_array_equal(first, kept_logits(teacher, digits, tmp_path, pytest.fail))
    other = dataclasses.replace(digits, train_images=255 - digits.train_images)
    assert not np.array_equal(kept_logits(teacher, other, tmp_path), first)
    assert not np.array_equal(kept_logits(teacher_of(digits, 2), digits, tmp_path), first)
    files = list(tmp_path.iterdir())
    assert len(files) == 3
    assert all(file.suffix == ".npy" for file in files)
    expected = first.copy()
    for file in files:
        damaged = file.read_bytes()[:200]
        file.unlink()
        file.write_bytes(damaged)
    np.testing.assert_array_equal(expected, kept_logits(teacher, digits, tmp_path))


def test_where_logits_cannot_be_kept_they_are_in_memory(digits, tmp_path):
    logits = kept_logits(teacher_of(digits), digits, tmp_path / "nothing")
    assert logits.shape == (80, 10)


def test_a_teacher_without_finite_logits_is_refused(digits, tmp_path):
    teacher = teacher_of(digits)
    next(iter(teacher.model.parameters())).data.fill_(torch.nan)
    with pytest.raises(ValueError, match="`--teacher` must give finite numbers"):
        kept_logits(teacher, digits, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_teacher_runs_beside_augmented_images_and_very_many_logits(digits):
    assert not runs_beside(RECIPE, digits)
    assert runs_beside(dataclasses.replace(RECIPE, augment="crop"), digits)
    photos = dataclasses.replace(digits, augmentation="crop_flip")
    assert runs_beside(RECIPE, photos)
    names = tuple(map(str, range(4_000_000)))
    assert runs_beside(RECIPE, dataclasses.replace(digits, class_names=names))
    augmented = losses(photos, teacher_of(photos))
    assert augmented != pytest.approx(losses(photos, None), rel=1e-3)
