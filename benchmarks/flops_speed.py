"""How many architectures a second `space.count_flops` counts on one core, beside tracing one.

python benchmarks/flops_speed.py
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from space import SearchSpace, build_model, count_flops, measure_flops
from space.search_space import BUILT_IN_SPACES

NETWORKS, ROUNDS = 2000, 7


def speed(space) -> float:
    """Architectures a second, the median of some rounds; each draws its own, since what was counted
    of a network once is kept with it."""
    rates = []
    for _ in range(ROUNDS):
        rng = np.random.default_rng(0)
        networks = [space.sample(rng) for _ in range(NETWORKS)]
        started = time.perf_counter()
        for network in networks:
            count_flops(network)
        rates.append(len(networks) / (time.perf_counter() - started))
    return statistics.median(rates)


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rates = {}
    for name in BUILT_IN_SPACES:
        rates[name] = round(speed(SearchSpace.load(name)))
        print(f"{name:16} {rates[name]:>10,} architectures/s")
    network = SearchSpace.load("digits").sample(np.random.default_rng(0))
    started = time.perf_counter()
    measure_flops(build_model(network), network.img_size)
    traced = 1 / (time.perf_counter() - started)
    slowest = min(rates.values())
    print(json.dumps({
        "benchmark": "flops_speed", "architectures_per_second": rates, "slowest": slowest,
        "goal": 50_000, "ratio_to_building_and_tracing_one": round(slowest / traced),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
