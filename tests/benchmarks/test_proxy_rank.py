"""The statistics by which proxies are judged, on made-up data whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.proxy_rank import (
    Proxy,
    controls,
    equal_compute,
    extrapolated,
    judge,
    load,
    proxies,
    taus,
)
from space import Architecture, count_flops, count_params


def costs(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    flops = np.exp(rng.uniform(10, 15, count))
    return flops, flops**0.5 * np.exp(rng.normal(0, 0.5, count))


def test_scores_that_share_only_their_cost_have_no_tau_at_fixed_cost() -> None:
    rng = np.random.default_rng(0)
    flops, params = costs(rng, 4000)
    saturating = np.tanh((np.log(flops) - 11) / 3)
    score, truth = (saturating + rng.normal(0, 0.1, 4000) for _ in range(2))
    raw, fixed = taus(score, truth, controls(flops, params))
    assert raw > 0.5
    assert fixed == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("correlation", [0.3, 0.8])
def test_tau_at_fixed_cost_is_that_of_what_cost_leaves(correlation: float) -> None:
    rng = np.random.default_rng(1)
    flops, params = costs(rng, 4000)
    shared = [[1, correlation], [correlation, 1]]
    rest = rng.multivariate_normal([0, 0], shared, 4000)
    both = 0.3 * np.log(flops)[:, None] + rest
    raw, fixed = taus(np.exp(both[:, 0]), both[:, 1], controls(flops, params))
    assert fixed == pytest.approx(2 / np.pi * np.arcsin(correlation), abs=0.03)  # Greiner
    assert raw > fixed


def test_a_power_law_is_extrapolated_to_its_end() -> None:
    errors = np.array([[0.5], [0.8]]) * np.arange(1, 31) ** -np.array([[0.3], [1.5]])
    found = extrapolated(1 - errors[:, :10], 30)
    assert np.exp(-found) == pytest.approx(errors[:, -1], abs=1e-6)


def table(folder: Path) -> Path:
    """Forty networks of 20 pairs; seeds share nothing but the network's quality."""
    rng, networks = np.random.default_rng(2), []
    for i in range(40):
        architecture = Architecture(
            img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=16 * (1 + i // 2 % 4),
            depth=2 + i // 8, num_heads=2, mlp_ratio=2, reattention=() if i % 2 else (1,),
        )  # fmt: skip
        end = 100 + 4 * i + rng.normal(0, 1.0, 3)
        runs = [
            {"correct": [*rng.integers(0, 300, 9).tolist(), round(e)], "loss": [1.0] * 10,
             "test": round(e)} for e in end
        ]  # fmt: skip
        networks.append({
            "architecture": architecture.to_dict(), "flops": count_flops(architecture),
            "params": count_params(architecture), "pair": f"reattention-{i // 2}", "runs": runs,
            "proxies": {"epochs=5": {"correct": [0, 0, 0, 0, 4 * i], "loss": [1.0] * 5}},
        })  # fmt: skip
    path = folder / "table.json"
    path.write_text(json.dumps({
        "space": "made up", "budget_flops": 10**7,
        "images": {"train": 100, "validation": 300, "test": 300, "num_classes": 10},
        "recipe": {"epochs": 10}, "networks": networks,
    }))  # fmt: skip
    return path


def test_a_proxy_is_judged_by_seeds_it_has_not_seen(tmp_path: Path) -> None:
    made = load(table(tmp_path))
    chance = np.random.default_rng(3).random(made.val.shape[:2])
    made.val[:, :, -1] = chance  # only noise: a proxy must not find its own seed in the truth
    result = judge(Proxy(name="itself", cost=1.0, values=chance), made, repeats=2)
    assert abs(result["tau"]) < 0.25


def test_cost_pairs_and_intervals_of_a_proxy(tmp_path: Path) -> None:
    made = load(table(tmp_path))
    found = {proxy.name: proxy for proxy in proxies(made)}
    result = judge(found["epochs=5"], made, repeats=20)
    assert result["cost"] == 0.5
    assert (result["networks"], result["seeds"]) == (40, 1)
    assert result["tau"] > 0.9
    assert result["tau_95"][0] <= result["tau"] <= result["tau_95"][1] + 0.02
    share, count = result["pairs"]["reattention"]
    assert share == 1.0
    assert 0 < count <= 20
    assert abs(judge(found["cut at epoch 5"], made, repeats=2)["tau"]) < 0.3


def test_for_equal_compute_a_true_cheap_proxy_finds_more_and_a_false_one_less(
    tmp_path: Path,
) -> None:
    made = load(table(tmp_path))
    by_name = {proxy.name: proxy for proxy in proxies(made)}
    cheap, full = by_name["epochs=5"], by_name["full training"]
    false = Proxy(name="false", cost=0.5, values=-cheap.values)
    dear, cheaper, wrong = equal_compute(made, [full, cheap, false], trainings=4)
    assert [row["seen"] for row in (dear, cheaper, wrong)] == [4, 8, 8]
    assert wrong["share"] < dear["share"] < cheaper["share"] <= 1.0
