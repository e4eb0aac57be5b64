"""200 proposals of the sampler on a fixed study, and how long they take: to lay beside another
checkout of the project, which must propose the same.

    python benchmarks/proposals.py [--root OTHER_CHECKOUT] [--count 200] > proposals.json
"""

import argparse
import hashlib
import json
import sys
import time
import warnings
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, default=Path(__file__).parent.parent)
    parser.add_argument("--count", type=int, default=200)
    asked = parser.parse_args()
    sys.path.insert(0, str(asked.root.resolve()))
    import optuna

    if (asked.root / "search" / "decide").is_dir():
        from search.decide.frontier_sampler import FrontierSampler
        from search.decide.problem import SpaceProblem
    else:  # the first edition
        from search.frontier_sampler import FrontierSampler
        from search.problem import SpaceProblem
    from space import SearchSpace, count_flops

    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    problem = SpaceProblem(SearchSpace.load("digits"), budget=2_000_000)
    sampler = FrontierSampler(problem, seed=3, reference_accuracy=0.1)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    proposals, seconds = [], []
    for _ in range(asked.count):
        started = time.perf_counter()
        trial = study.ask(problem.distributions)
        seconds.append(time.perf_counter() - started)
        flops = count_flops(problem.decode(trial.params).architecture)
        proposals.append([sorted(trial.params.items()), flops])
        digest = hashlib.sha256(json.dumps(proposals[-1]).encode()).digest()
        study.tell(trial, (0.2 + 0.1 * flops**0.12 + digest[0] / 5000, flops))
    middle = sorted(seconds)[len(seconds) // 2]
    print(json.dumps({"median_seconds": round(middle, 4), "proposals": proposals}))


if __name__ == "__main__":
    main()
