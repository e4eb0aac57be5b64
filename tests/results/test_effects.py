"""results.effects: true effects are stated with their sign, those of cost alone are none."""

import numpy as np
import pytest
from make_run import make_run

from results import load_run, render_report
from results.effects import LEVEL, adjusted, choices, effects_of
from space import Architecture, Pool

IMAGES = 1000


def networks(count, seed):
    """Random choices of two columns that shift the cost, and FLOPs."""
    rng = np.random.default_rng(seed)
    columns = {"kind": rng.integers(0, 2, count) * 1.0, "depth": rng.uniform(0, 3, count)}
    flops = 10 ** rng.uniform(4, 6, count) * 2 ** columns["depth"]
    return columns, flops, rng


def accuracies(columns, flops, rng, *, kind=0.0, depth=0.0):
    odds = 0.8 * np.log10(flops) - 3.5 + kind * columns["kind"] + depth * columns["depth"]
    odds = odds + rng.normal(0, 0.1, len(flops))
    return 1 / (1 + np.exp(-odds))


def test_true_effects_are_stated_with_their_sign():
    columns, flops, rng = networks(100, 0)
    accuracy = accuracies(columns, flops, rng, kind=0.4, depth=-0.2)
    found = {e.name: e for e in adjusted(columns, flops, accuracy, images=IMAGES)}
    middle = np.median(accuracy)
    assert found["kind"].gain == pytest.approx(0.4 * middle * (1 - middle), abs=0.02)
    assert found["kind"].stated
    assert found["kind"].sentence.endswith(" points better at equal FLOPs.")
    assert found["depth"].gain < 0
    assert found["depth"].sentence.startswith("Twice the depth: ")


def test_an_effect_through_cost_alone_is_none():
    stated = 0
    for seed in range(50):
        columns, flops, rng = networks(60, seed)
        effects = adjusted(columns, flops, accuracies(columns, flops, rng), images=IMAGES)
        stated += sum(effect.stated for effect in effects)
    assert stated == 0
    assert "cannot be said whether" in effects[0].sentence


def test_intervals_cover_as_often_as_they_say():
    covered = []
    for seed in range(200):
        columns, flops, rng = networks(60, seed)
        accuracy = accuracies(columns, flops, rng, kind=0.3)
        effects = adjusted(columns, flops, accuracy, images=IMAGES, typical=0.5)
        kind = next(effect for effect in effects if effect.name == "kind")
        covered.append(kind.low <= 0.3 / 4 <= kind.high)
    assert np.mean(covered) == pytest.approx(LEVEL, abs=0.05)


def test_columns_that_say_the_same_count_once_and_few_networks_say_nothing():
    columns, flops, rng = networks(60, 1)
    accuracy = accuracies(columns, flops, rng, kind=0.4)
    twice = columns | {"again": 1 - columns["kind"]}
    assert len(adjusted(twice, flops, accuracy, images=IMAGES)) == 2
    few = {name: column[:12] for name, column in columns.items()}
    assert adjusted(few, flops[:12], accuracy[:12], images=IMAGES) == []


def test_choices_are_those_in_which_networks_differ():
    def network(depth, mixed, pooled):
        return Architecture(
            img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=16, depth=depth,
            num_heads=2, reattention=tuple(range(mixed)), pools=(Pool(after=0),) * pooled,
        )  # fmt: skip

    found = choices([network(2 + i % 2, 2 * (i % 3 == 0), i % 4 == 0) for i in range(24)])
    assert set(found) == {"depth", "Re-attention", "tokens pooled"}
    assert found["depth"].tolist()[:2] == [1.0, np.log2(3)]
    assert found["Re-attention"].sum() == 8


def test_the_report_tells_them(tmp_path):
    run = load_run(make_run(tmp_path, complete=40))
    effects = effects_of(run)
    page = render_report(run)
    assert effects
    assert "What the choices did" in page
    assert all(effect.sentence in page for effect in effects)
