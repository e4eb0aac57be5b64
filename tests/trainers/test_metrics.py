"""Metrics against scikit-learn's, and what guessing reaches."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, top_k_accuracy_score
from torch import nn

from space import Architecture
from trainers import Recipe, evaluate, load_dataset, train_proxy
from trainers.metrics import METRICS, effective_images, guessing, refuse_top5

CLASSES = 8


class Looks(nn.Module):
    """Gives the logits that are written into the pixels of an image."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        return images[:, 0, 0, :CLASSES]


@pytest.fixture(scope="module")
def split():
    rng = np.random.default_rng(3)
    labels = rng.choice(CLASSES - 1, 700, p=[0.5, 0.2, 0.1, 0.1, 0.06, 0.03, 0.01]).astype(np.int64)
    images = rng.integers(0, 200, (700, 1, CLASSES, CLASSES)).astype(np.uint8)
    images[np.arange(700), 0, 0, labels] += rng.integers(0, 56, 700).astype(np.uint8)
    return images, labels


def found(split, metric):
    return evaluate(Looks(), *split, mean=(0.0,), std=(1.0,), metric=metric)[1]


def test_metrics_are_those_of_scikit_learn(split):
    images, labels = split
    logits = images[:, 0, 0].astype(float)
    # Of equal pixels torch and NumPy take the first in argmax; the top five may differ by ties.
    answers = logits.argmax(1)
    assert found(split, "accuracy") == pytest.approx((answers == labels).mean(), abs=1e-12)
    assert set(answers) == set(labels) | {CLASSES - 1}
    known = answers != CLASSES - 1  # scikit-learn warns of classes that are never asked for
    images, labels, answers, logits = images[known], labels[known], answers[known], logits[known]
    split = images, labels
    balanced = balanced_accuracy_score(labels, answers)
    assert found(split, "balanced_accuracy") == pytest.approx(balanced, abs=1e-12)
    assert found(split, "f1") == pytest.approx(
        f1_score(labels, answers, average="macro"), abs=1e-12
    )
    top5 = top_k_accuracy_score(labels, logits, k=5, labels=range(CLASSES))
    assert found(split, "top5") == pytest.approx(top5, abs=0.02)


@pytest.mark.parametrize("metric", METRICS)
def test_no_constant_or_drawn_answer_beats_guessing(metric, split):
    labels = split[1]
    rng = np.random.default_rng(0)
    reached = guessing(metric, labels, CLASSES)
    answers = [np.full(700, c) for c in range(CLASSES)]
    answers += [rng.permutation(labels) for _ in range(20)]
    score = {
        "accuracy": lambda a: (a == labels).mean(),
        "balanced_accuracy": lambda a: recall(labels, a),
        "f1": lambda a: f1_score(labels, a, average="macro", labels=range(7), zero_division=0),
        "top5": lambda a: np.isin(labels, [0, 1, 2, 3, 4]).mean(),
    }[metric]
    drawn = [score(a) for a in answers]
    assert max(drawn[:CLASSES]) <= reached + 1e-12
    assert np.mean(drawn[CLASSES:]) <= reached + 0.02


def test_guessing_of_a_single_class_leaves_something_to_reach():
    one = np.zeros(50, np.int64)
    assert [guessing(metric, one, 6) for metric in METRICS] == [0.99] * 4


def recall(labels, answers):
    return np.mean([(answers[labels == c] == c).mean() for c in np.unique(labels)])


def test_standard_errors_of_means_over_classes_are_told_by_fewer_images(split):
    labels = split[1]
    even = np.repeat(np.arange(5), 40)
    assert effective_images("balanced_accuracy", even) == 200
    assert effective_images("accuracy", labels) == 700
    images, p = effective_images("balanced_accuracy", labels), 0.3
    rng = np.random.default_rng(0)
    counts = np.bincount(labels)[:7]
    means = (rng.binomial(counts, p, (4000, 7)) / counts).mean(1)
    assert means.std() == pytest.approx((p * (1 - p) / images) ** 0.5, rel=0.05)


def test_five_of_five_classes_are_no_measure():
    refuse_top5("top5", 6)
    with pytest.raises(ValueError, match=r"`--metric` \(='top5'\) must have more than 5 classes"):
        refuse_top5("top5", 5)


def test_a_training_tells_the_metric_and_keeps_the_share_that_is_right():
    digits = load_dataset("digits", train_samples=128, val_samples=64)
    labels = np.where(digits.val_labels < 5, 0, digits.val_labels)
    skewed = dataclasses.replace(digits, val_labels=labels)
    network = Architecture(
        img_size=8, patch_size=4, in_chans=1, num_classes=10, embed_dim=16, depth=1, num_heads=2
    )
    curves = {}
    for metric in ("accuracy", "f1"):
        outcome = train_proxy(network, skewed, Recipe(epochs=1), 0, device="cpu", metric=metric)
        curves[metric] = outcome.curve[0]
    assert "top1" not in curves["accuracy"]
    assert curves["f1"]["top1"] == curves["accuracy"]["accuracy"] != curves["f1"]["accuracy"]
