"""Wall time of a whole search beside the same trainings in a bare loop on the same cores.

python benchmarks/search_overhead.py [--trials 24] [--workers 2]

The search runs through the command line, without early stopping. Then the trainings it made
(architectures and seeds from its study) run again in as many plain processes, which take the next
one when they are free: no Ray, no Optuna. Both times include starting Python and importing torch.
`ratio_after_start_up` leaves out what the search takes until its first trial begins, and nothing of
the bare loop.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))


def train(jobs, epochs) -> None:
    """One worker of the bare loop."""
    import torch

    from trainers import Recipe, load_dataset, train_proxy

    torch.set_num_threads(1)
    dataset = load_dataset("digits")
    recipe = Recipe.for_dataset(dataset, epochs=epochs)
    while (job := jobs.get()) is not None:
        train_proxy(*job[:1], dataset, recipe, job[1])


def bare_loop(records, workers, epochs) -> float:
    """Seconds for the same trainings in plain processes."""
    started = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    jobs = context.Queue()
    for record in records:
        jobs.put((record.architecture, record.seed))
    for _ in range(workers):
        jobs.put(None)
    processes = [context.Process(target=train, args=(jobs, epochs)) for _ in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    from results import load_run

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        words = ["--budget", "2M", "--trials", arguments.trials, "--workers", arguments.workers]
        words += ["--no-early-stopping", "--out", out]
        if arguments.epochs:
            words += ["--epochs", arguments.epochs]
        command = [sys.executable, "-m", "search", "search", *map(str, words)]
        began, started = time.time(), time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        searched = time.perf_counter() - started
        records = load_run(out).records
        trained = sum(record.seconds for record in records)
        first = min(record.started for record in records)
        last = max(record.started + record.seconds for record in records)
    bare = bare_loop(records, arguments.workers, arguments.epochs)
    print(json.dumps({
        "benchmark": "search_overhead", "trials": len(records), "workers": arguments.workers,
        "search_seconds": round(searched, 1), "bare_seconds": round(bare, 1),
        "ratio": round(searched / bare, 3),
        "ratio_after_start_up": round((searched - (first - began)) / bare, 3), "goal": 1.05,
        "seconds_before_first_trial": round(first - began, 1),
        "seconds_after_last_trial": round(began + searched - last, 1),
        "busy_share_of_workers": round(trained / arguments.workers / (last - first), 3),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
