"""How truly do cheap trainings and free scores rank architectures?

    python benchmarks/proxy_rank.py [--table FILE.json ...] [--repeats 300]

Reads the tables of `train_table.py`; prints a table and one line of JSON, and draws
`benchmarks/proxy_rank.svg`. The truth about a network is the mean final accuracy of its full
trainings. A proxy of one seed is judged by the other seeds: a training cut short shares its noise
with its own end. What one full training reaches this way is the bound that seed noise sets.

Kendall's tau-b, beside it tau at fixed cost: of what a quadratic in log FLOPs and log parameters
leaves of the ranks of proxy and truth. Ranks, because a proxy may have any scale; squares, because
accuracy saturates; not Kendall's partial tau, which stays above 0 for two scores that have nothing
but their cost in common. Intervals are bootstraps over networks (a pair is drawn as one), 95 %.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from scipy.stats import kendalltau, rankdata  # noqa: E402

from results import hypervolume  # noqa: E402

Array = NDArray[np.float64]
TABLES = ROOT / "benchmarks" / "tables"
BANDS = 3  # of FLOPs, with as many networks each
CUTS = (0.1, 0.17, 0.25, 0.5)  # shares of the full schedule at which its curve is read
EQUAL = 12  # full trainings' worth of compute
LEAST_ERROR = 1e-3  # that a curve may show, so that it has a logarithm


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainings:
    """A table as arrays over networks; what failed is NaN."""

    name: str
    flops: Array  # (N,)
    params: Array  # (N,)
    val: Array  # (N, seeds, epochs) accuracy
    loss: Array  # (N, seeds, epochs) of training
    test: Array  # (N, seeds)
    cheaper: dict[str, tuple[Array, Array, float]]  # val and loss (N, epochs), share of the cost
    pairs: dict[str, list[tuple[int, int]]]  # (with, without), by what they differ in
    architectures: list[dict[str, Any]]
    images: int  # one full training sees, over all epochs
    budget: float
    chance: float  # accuracy of a guess

    @property
    def band(self) -> NDArray[np.intp]:
        order = rankdata(self.flops, method="ordinal") - 1
        return np.asarray(order * BANDS // len(order), np.intp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A score, higher is better. `cost`: share of a full training's FLOPs."""

    name: str
    cost: float
    values: Array  # (N, seeds), NaN where it was not measured


def load(path: Path) -> Trainings:
    """The table of a file of `train_table.py`."""
    table = json.loads(path.read_text())
    networks, images = table["networks"], table["images"]
    seeds, epochs = max(len(n["runs"]) for n in networks), table["recipe"]["epochs"]

    def curves(runs: list[dict[str, Any]], length: int) -> tuple[Array, Array]:
        val, loss = np.full((2, len(runs), length), np.nan)
        for i, run in enumerate(runs):
            if len(run.get("correct", ())) == length:
                val[i] = np.array(run["correct"]) / images["validation"]
                loss[i] = run["loss"]
        return val, loss

    by_seed = [curves([n["runs"][s] for n in networks], epochs) for s in range(seeds)]
    flops = np.array([n["flops"] for n in networks], float)
    cheaper = {}
    for text in dict.fromkeys(text for n in networks for text in n["proxies"]):
        runs = [n["proxies"].get(text, {}) for n in networks]
        changes = dict(change.split("=") for change in text.split())
        length = int(changes.get("epochs", epochs))
        cost = length / epochs * float(changes.get("samples", 1))
        if "img_size" in changes:
            trained = [n["architecture"] for n, run in zip(networks, runs, strict=True) if run]
            cost *= shrunk_cost(trained, int(changes["img_size"]))
        cheaper[text] = (*curves(runs, length), cost)
    pairs: dict[str, list[tuple[int, int]]] = {}
    for i, (first, second) in enumerate(itertools.pairwise(networks)):
        if first["pair"] is not None and first["pair"] == second["pair"]:
            pairs.setdefault(first["pair"].rpartition("-")[0], []).append((i, i + 1))
    return Trainings(
        name=table["space"],
        flops=flops,
        params=np.array([n["params"] for n in networks], float),
        val=np.stack([val for val, _ in by_seed], axis=1),
        loss=np.stack([loss for _, loss in by_seed], axis=1),
        test=np.array(
            [[run.get("test", np.nan) for run in n["runs"]] for n in networks], float
        ) / images["test"],
        cheaper=cheaper,
        pairs=pairs,
        architectures=[n["architecture"] for n in networks],
        images=images["train"] * epochs,
        budget=float(table["budget_flops"]),
        chance=1 / images["num_classes"],
    )  # fmt: skip


def shrunk_cost(architectures: list[dict[str, Any]], img_size: int) -> float:
    """Mean share of the FLOPs that networks cost on smaller images."""
    from space import Architecture, count_flops

    shares = []
    for values in architectures:
        try:
            small = count_flops(Architecture.from_dict(values | {"img_size": img_size}))
        except ValueError:  # too few tokens for its pools
            continue
        shares.append(small / count_flops(Architecture.from_dict(values)))
    return float(np.mean(shares))


# ---- proxies -----------------------------------------------------------------------------------


def proxies(table: Trainings) -> list[Proxy]:
    """All that the table itself tells, the full training first."""
    epochs = table.val.shape[2]
    made = [Proxy(name="full training", cost=1.0, values=table.val[:, :, -1])]
    for cut in sorted({max(round(share * epochs), 1) for share in CUTS}):
        cost, val = cut / epochs, table.val[:, :, :cut]
        made.append(Proxy(name=f"cut at epoch {cut}", cost=cost, values=val[:, :, -1]))
        if cut >= 5:
            values = extrapolated(val, epochs)
            made.append(Proxy(name=f"cut at epoch {cut}, power law", cost=cost, values=values))
        values = -summed(table.loss[:, :, :cut])
        made.append(Proxy(name=f"cut at epoch {cut}, training loss", cost=cost, values=values))
    for text, (val, loss, cost) in table.cheaper.items():
        accuracy, losses = np.full((2, *table.test.shape), np.nan)
        accuracy[:, 0], losses[:, 0] = val[:, -1], -summed(loss)  # trained with the first seed
        made.append(Proxy(name=text, cost=cost, values=accuracy))
        made.append(Proxy(name=f"{text}, training loss", cost=cost, values=losses))
    for name, values in (("log FLOPs", table.flops), ("log params", table.params)):
        made.append(Proxy(name=name, cost=0.0, values=np.log(values)[:, None] + 0 * table.test))
    return made


def summed(loss: Array) -> Array:
    """Training losses summed over the last fifth of the epochs (Ru et al., NeurIPS 2021)."""
    return np.asarray(loss[..., -max(round(loss.shape[-1] / 5), 1) :].sum(axis=-1))


def extrapolated(val: Array, epochs: int) -> Array:
    """The error as a power of the epoch, fitted to the last two thirds of curves (..., seen): minus
    its logarithm at the last epoch. With a third parameter, where it saturates, it ranks worse."""
    seen = val.shape[-1]
    x = np.log(np.arange(seen // 3 + 1, seen + 1))
    y = np.log(np.maximum(1 - val[..., seen // 3 :], LEAST_ERROR))
    slope = ((x - x.mean()) * (y - y.mean(axis=-1, keepdims=True))).sum(axis=-1)
    slope /= ((x - x.mean()) ** 2).sum()
    return -np.asarray(y.mean(axis=-1) + slope * (np.log(epochs) - x.mean()))


def zero_cost(table: Trainings, seed: int = 0) -> list[Proxy]:
    """Scores of untrained networks, one forward and backward pass of one image of ones with
    absolute weights: SynFlow (Tanaka et al., NeurIPS 2020), the sum of |w dL/dw| of all
    parameters; DSS (TF-TAS, Zhou et al., CVPR 2022), nuclear norms of attention weights times
    those of their gradients plus SynFlow of the other linear layers. BatchNorm in train mode."""
    import torch

    from space import Architecture, build_model

    torch.set_num_threads(1)
    found = {name: np.full(table.test.shape, np.nan) for name in ("DSS", "SynFlow")}
    for i, values in enumerate(table.architectures):
        architecture = Architecture.from_dict(values)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = build_model(architecture).train()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.abs_()
        size = architecture.img_size
        model(torch.ones(1, architecture.in_chans, size, size)).sum().backward()
        dss = synflow = 0.0
        for name, parameter in model.named_parameters():
            saliency = float((parameter.detach() * parameter.grad).abs().sum())
            synflow += saliency
            if name.endswith((".qkv.weight", ".attn.proj.weight")):
                norms = [
                    torch.linalg.matrix_norm(p.detach(), "nuc") for p in (parameter, parameter.grad)
                ]
                dss += float(norms[0] * norms[1])
            elif name.endswith(("fc1.weight", "fc2.weight", "head.weight")):
                dss += saliency
        found["DSS"][i, 0], found["SynFlow"][i, 0] = dss, synflow
    cost = 1 / table.images
    return [Proxy(name=name, cost=cost, values=values) for name, values in found.items()]


# ---- judging -----------------------------------------------------------------------------------


def controls(flops: Array, params: Array) -> Array:
    """(N, 6): a quadratic in log FLOPs and log parameters."""
    f, p = (np.log(x) - np.log(x).mean() for x in (flops, params))
    return np.stack([np.ones(len(f)), f, p, f * f, p * p, f * p], axis=1)


def taus(score: Array, truth: Array, given: Array) -> tuple[float, float]:
    """Kendall's tau-b of two scores (N,), raw and of what `given` (N, K) leaves of their ranks."""
    ranks = np.stack([rankdata(score), rankdata(truth)], axis=1)
    left = ranks - given @ np.linalg.lstsq(given, ranks, rcond=None)[0]
    raw = kendalltau(score, truth).statistic
    return float(raw), float(kendalltau(left[:, 0], left[:, 1]).statistic)


def views(proxy: Proxy, truth: Array) -> list[tuple[int, NDArray[np.intp], Array, Array]]:
    """(seed, rows, score, truth) for every seed of the proxy; the truth (N, seeds) is the mean of
    the other seeds."""
    result = []
    for seed in range(truth.shape[1]):
        others = np.delete(truth, seed, axis=1).mean(axis=1)
        score = proxy.values[:, seed]
        rows = np.flatnonzero(np.isfinite(score) & np.isfinite(others))
        if len(rows) > 2:
            result.append((seed, rows, score[rows], others[rows]))
    return result


def mean_taus(
    proxy: Proxy, truth: Array, table: Trainings, weights: NDArray[np.intp] | None = None
) -> Array:
    """Raw tau and tau at fixed cost, mean over the proxy's seeds. `weights` (N,): how often a
    bootstrap drew each network."""
    found = []
    for _, rows, score, others in views(proxy, truth):
        drawn = np.arange(len(rows)) if weights is None else np.repeat(
            np.arange(len(rows)), weights[rows]
        )  # fmt: skip
        at = rows[drawn]
        given = controls(table.flops[at], table.params[at])
        found.append(taus(score[drawn], others[drawn], given))
    return np.mean(found, axis=0) if found else np.full(2, np.nan)


def interval(proxy: Proxy, truth: Array, table: Trainings, repeats: int) -> list[list[float]]:
    """[[low, high] of tau, [low, high] of tau at fixed cost]."""
    count = len(table.flops)
    unit = np.arange(count)
    for twins in table.pairs.values():
        for first, second in twins:
            unit[second] = unit[first]
    units, unit = np.unique(unit, return_inverse=True)
    rng = np.random.default_rng(0)
    samples = [
        mean_taus(
            proxy, truth, table,
            np.bincount(rng.integers(len(units), size=len(units)), minlength=len(units))[unit],
        )
        for _ in range(repeats)
    ]  # fmt: skip
    return np.quantile(samples, (0.025, 0.975), axis=0).T.round(3).tolist()


def ordered_pairs(proxy: Proxy, table: Trainings, kind: str) -> tuple[float, int]:
    """Share of twins that the proxy orders as the truth does, ties half, and of how many: those
    whose true difference exceeds twice its standard error (seed noise pooled over a FLOPs band)."""
    full = table.val[:, :, -1]
    noise = np.sqrt([np.nanmean(np.nanvar(full[table.band == b], axis=1, ddof=1))
                     for b in range(BANDS)])[table.band]  # fmt: skip
    others, agreed = full.shape[1] - 1, []
    for _, rows, score, truth in views(proxy, full):
        place = {row: i for i, row in enumerate(rows)}
        for pair in table.pairs.get(kind, ()):
            if not all(row in place for row in pair):
                continue
            a, b = (place[row] for row in pair)
            error = float(np.hypot(noise[pair[0]], noise[pair[1]])) / np.sqrt(others)
            if abs(truth[a] - truth[b]) > 2 * error:
                agreed.append(0.5 + 0.5 * np.sign((score[a] - score[b]) * (truth[a] - truth[b])))
    return (float(np.mean(agreed)) if agreed else float("nan")), len(agreed)


def judge(proxy: Proxy, table: Trainings, *, repeats: int) -> dict[str, Any]:
    """All figures of one proxy. `of_full`: tau and tau at fixed cost as shares of what one full
    training reaches on the same networks and seeds."""
    full = table.val[:, :, -1]
    tau, fixed = mean_taus(proxy, full, table)
    bound = Proxy(
        name="", cost=1.0, values=np.where(np.isfinite(proxy.values), full, np.nan)
    )  # fmt: skip
    most = mean_taus(bound, full, table)
    bands = []
    for band in range(BANDS):
        inside = np.where(table.band[:, None] == band, proxy.values, np.nan)
        bands.append(mean_taus(Proxy(name="", cost=0.0, values=inside), full, table)[0])
    low_high = interval(proxy, full, table, repeats)
    test = mean_taus(proxy, table.test, table)
    return {
        "proxy": proxy.name,
        "cost": round(proxy.cost, 6),
        "networks": int(np.isfinite(proxy.values).any(axis=1).sum()),
        "seeds": int(np.isfinite(proxy.values).any(axis=0).sum()),
        "tau": round(float(tau), 3),
        "tau_95": low_high[0],
        "fixed": round(float(fixed), 3),
        "fixed_95": low_high[1],
        "of_full": [round(float(tau / most[0]), 3), round(float(fixed / most[1]), 3)],
        "bands": [round(float(value), 3) for value in bands],
        "pairs": {
            kind: [round(share, 3), count]
            for kind in table.pairs
            for share, count in [ordered_pairs(proxy, table, kind)]
        },
        "test": [round(float(value), 3) for value in test],
    }


def noise(table: Trainings) -> dict[str, Any]:
    """How far seeds agree among themselves, and how much of the truth's ranks cost explains."""
    full = table.val[:, :, -1]
    rows = np.flatnonzero(np.isfinite(full).all(axis=1))
    given, full = controls(table.flops[rows], table.params[rows]), full[rows]
    between = [taus(full[:, i], full[:, j], given)
               for i in range(full.shape[1]) for j in range(i)]  # fmt: skip
    ranks = rankdata(full.mean(axis=1))
    left = ranks - given @ np.linalg.lstsq(given, ranks, rcond=None)[0]
    return {
        "networks": len(table.flops),
        "with_all_seeds": len(rows),
        "tau_between_seeds": np.mean(between, axis=0).round(3).tolist(),
        "rank_variance_explained_by_cost": round(float(1 - left.var() / ranks.var()), 3),
        "seed_sd_by_band": [
            round(float(np.sqrt(full[table.band[rows] == b].var(axis=1, ddof=1).mean())), 4)
            for b in range(BANDS)
        ],
    }


def equal_compute(
    table: Trainings, candidates: list[Proxy], *, trainings: int, repeats: int = 300
) -> list[dict[str, Any]]:
    """What each proxy finds for the compute of so many full trainings: networks in random orders,
    as many as that pays for, their front by the proxy, and the hypervolume of its members' truth
    (full trainings by the other seeds) as a share of the best. Among networks all have scored."""
    truth = np.delete(table.val[:, :, -1], 0, axis=1).mean(axis=1)
    scored = [np.isfinite(proxy.values[:, 0]) for proxy in candidates]
    pool = np.flatnonzero(np.logical_and.reduce([*scored, np.isfinite(truth)]))
    bounds = {"budget_flops": table.budget, "reference_accuracy": table.chance}

    def volume(rows: NDArray[np.intp]) -> float:
        points = zip(table.flops[rows].tolist(), truth[rows].tolist(), strict=True)
        return hypervolume(points, **bounds)

    best, found = volume(pool), []
    for proxy in candidates:
        rng, score = np.random.default_rng(0), proxy.values[:, 0]
        seen = min(round(trainings / proxy.cost), len(pool))
        shares, sizes = [], []
        for _ in range(repeats):
            rows = rng.permutation(pool)[:seen]
            rows = rows[np.lexsort((-score[rows], table.flops[rows]))]
            before = np.maximum.accumulate(np.concatenate([[-np.inf], score[rows][:-1]]))
            members = rows[score[rows] > before]
            shares.append(volume(members) / best)
            sizes.append(len(members))
        found.append({
            "proxy": proxy.name, "pool": len(pool), "seen": seen,
            "share": round(float(np.mean(shares)), 3),
            "standard_error": round(float(np.std(shares) / np.sqrt(repeats)), 3),
            "members": round(float(np.mean(sizes)), 1),
        })  # fmt: skip
    return found


# ---- output ------------------------------------------------------------------------------------


def row_of(result: dict[str, Any]) -> str:
    def span(name: str) -> str:
        low, high = result[f"{name}_95"]
        return f"{result[name]:6.3f} [{low:.2f}, {high:.2f}]"

    pairs = "".join(f"{share:6.2f} ({n:2d})" for share, n in result["pairs"].values())
    bands = " ".join(f"{value:5.2f}" for value in result["bands"])
    return (
        f"{result['proxy']:30s}{100 * result['cost']:6.1f} %{result['networks']:5d}x"
        f"{result['seeds']} {span('tau')} {span('fixed')}"
        f"  {result['of_full'][0]:.2f} {result['of_full'][1]:5.2f}  {bands} {pairs}"
        f"  {result['test'][0]:.2f} {result['test'][1]:5.2f}"
    )


def header(kinds: list[str]) -> str:
    pairs = "".join(f"{kind[:10]:>11s}" for kind in kinds)
    return (
        f"{'proxy':30s}{'cost':>8s}{'n':>7s}  {'tau':>16s}  {'at fixed cost':>19s}  "
        f"of full tr.  {'tau in FLOPs bands':17s} {pairs}  by test acc."
    )


def draw(reports: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Tau and tau at fixed cost over cost, a panel each, with the frontier of proxies."""
    import altair as alt
    import pandas as pd

    rows = []
    for table, results in reports.items():
        trained = [result for result in results if result["cost"] >= 0.01]
        for measure, key in (("tau", "tau"), ("tau at fixed cost", "fixed")):
            best = -1.0
            for result in sorted(trained, key=lambda r, key=key: (r["cost"], -r[key])):
                low, high = result[f"{key}_95"]
                rows.append({
                    "table": table, "measure": measure, "kind": family(result["proxy"]),
                    "cost": result["cost"], "tau": result[key], "low": low, "high": high,
                    "front": result[key] > best,
                })  # fmt: skip
                best = max(best, result[key])
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("cost:Q", title="share of a full training", scale=alt.Scale(type="log")),
        y=alt.Y("tau:Q", title="Kendall's tau with the truth", scale=alt.Scale(zero=False)),
    )
    points = base.mark_point(filled=True, size=60).encode(
        color=alt.Color("kind:N", title=None), shape=alt.Shape("kind:N", title=None)
    )
    bars = base.mark_rule(opacity=0.2).encode(y="low:Q", y2="high:Q")
    front = base.transform_filter("datum.front").mark_line(
        interpolate="step-after", color="grey", strokeDash=[4, 4]
    )
    chart = alt.layer(bars, front, points).properties(width=330, height=280)
    chart.facet(
        column=alt.Column("measure:N", title=None), row=alt.Row("table:N", title=None)
    ).save(str(path))


def family(name: str) -> str:
    """What a proxy's points have in common in the picture."""
    if name.startswith("cut"):
        return name.partition(", ")[2] or "full schedule cut short"
    if "training loss" in name:
        return "training loss, own schedule"
    kinds = {"epochs": "fewer epochs, own schedule", "samples": "fewer images",
             "img_size": "smaller images"}  # fmt: skip
    return kinds.get(name.partition("=")[0], "full training")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, nargs="*", help="by default all of train_table.py")
    parser.add_argument("--repeats", type=int, default=300, help="of the bootstrap")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".svg"))
    options = parser.parse_args()
    paths = options.table or [TABLES / f"{name}.json" for name in ("digits", "cifar")]
    report: dict[str, Any] = {"benchmark": "proxy_rank"}
    for path in paths:
        if not path.exists():
            print(f"{path.name} is not there: make it by train_table.py")
            continue
        table = load(path)
        about = noise(table)
        print(f"\n{table.name}: {json.dumps(about)}\n{header(list(table.pairs))}")
        results = []
        for proxy in (*proxies(table), *zero_cost(table)):
            results.append(judge(proxy, table, repeats=options.repeats))
            print(row_of(results[-1]), flush=True)
        by_accuracy = [p for p in proxies(table) if p.cost and "loss" not in p.name]
        found = equal_compute(table, by_accuracy, trainings=EQUAL)
        print(f"for the compute of {EQUAL} full trainings, share of the best hypervolume:")
        for row in found:
            print(
                f"{row['proxy']:30s}{row['seen']:4d} of {row['pool']} networks {row['share']:6.3f} "
                f"+- {row['standard_error']:.3f}, {row['members']:.1f} on the front"
            )
        report[table.name] = about | {"proxies": results, "equal_compute": found}
    made = {name: value["proxies"] for name, value in report.items() if name != "benchmark"}
    if made:
        draw(made, options.out)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
