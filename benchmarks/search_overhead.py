"""Wall time of a whole search beside the same trainings in a bare loop on the same cores.

python benchmarks/search_overhead.py [--trials 24] [--workers 2]

The search runs through the command line, without early stopping. Then the trainings it made
(architectures and seeds from its study) run again in as many plain processes, which take the next
one when they are free: no Ray, no Optuna. `ratio` is of the whole times, each with starting Python
and importing torch; `ratio_after_start_up` of what is left from the moment when the first worker
trains, on both sides. Between two trials of a worker, `idle` is from the end of the last epoch of
one to the beginning of the other, which builds its network.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))


def train(jobs, began, epochs) -> None:
    """One worker of the bare loop; tells when it begins to train."""
    import torch

    from trainers import Recipe, load_dataset, train_proxy

    torch.set_num_threads(1)
    dataset = load_dataset("digits")
    recipe = Recipe.for_dataset(dataset, epochs=epochs)
    began.put(time.time())
    while (job := jobs.get()) is not None:
        train_proxy(*job[:1], dataset, recipe, job[1])


def bare_loop(records, workers, epochs):
    """(seconds for the same trainings in plain processes, those after the first began)."""
    started = time.time()
    context = multiprocessing.get_context("spawn")
    jobs, began = context.Queue(), context.Queue()
    for record in records:
        jobs.put((record.architecture, record.seed))
    for _ in range(workers):
        jobs.put(None)
    processes = [context.Process(target=train, args=(jobs, began, epochs)) for _ in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    ended = time.time()
    return ended - started, ended - min(began.get() for _ in processes)


def steps_of_workers(folder: Path):
    """[[(began, ended, over)] of every worker], as `clocked` wrote them down."""
    return [
        [tuple(map(float, line.split())) for line in file.read_text().splitlines()]
        for file in folder.glob("*.txt")
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    from results import load_run

    with tempfile.TemporaryDirectory() as folder:
        out, clock = Path(folder) / "run", Path(folder) / "clock"
        clock.mkdir()
        words = ["--budget", "2M", "--trials", arguments.trials, "--workers", arguments.workers]
        words += ["--space", "digits", "--proxy", "faithful", "--no-early-stopping", "--out", out]
        if arguments.epochs:
            words += ["--epochs", arguments.epochs]
        command = [sys.executable, ROOT / "benchmarks" / "clocked.py", "search", *words]
        places = {"PYTHONPATH": f"{ROOT / 'benchmarks'}:{ROOT}", "CLOCK_FOLDER": str(clock)}
        began = time.time()
        subprocess.run(
            list(map(str, command)), check=True, stdout=subprocess.DEVNULL, cwd=folder,
            env=os.environ | places,
        )  # fmt: skip
        ended = time.time()
        records, steps = load_run(out).records, steps_of_workers(clock)
    bare, bare_training = bare_loop(records, arguments.workers, arguments.epochs)
    idle = [
        following[0] - last[1]
        for worker in steps
        for last, following in itertools.pairwise(worker)
        if last[2]
    ]
    every = [step for worker in steps for step in worker]
    first, last = min(step[0] for step in every), max(step[1] for step in every)
    print(json.dumps({
        "benchmark": "search_overhead", "trials": len(records), "workers": arguments.workers,
        "search_seconds": round(ended - began, 1), "bare_seconds": round(bare, 1),
        "ratio": round((ended - began) / bare, 3),
        "ratio_after_start_up": round((ended - first) / bare_training, 3), "goal": 1.05,
        "seconds_before_first_training": round(first - began, 1),
        "of_the_bare_loop": round(bare - bare_training, 1),
        "seconds_after_last_training": round(ended - last, 1),
        "ratio_of_trainings": round((last - first) / bare_training, 3),
        "idle_median": round(statistics.median(idle), 4), "idle_most": round(max(idle), 4),
        "load": os.getloadavg(),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
