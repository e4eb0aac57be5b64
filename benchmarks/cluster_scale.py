"""What the driver itself costs a trial, when trials only sleep, and how its memory grows.

    python benchmarks/cluster_scale.py [--part ledger] [--trials 5000] [--nodes 1] [--workers 16]

Processor time of the driver's process and the time it waited for the study's file, a trial, over
the last trials before 100, 1,000 and 5,000 were finished. Two parts: the ledger alone (ask, epochs,
early stopping, record; the study is filled beforehand, so every size is measured at once), and a
whole search through Ray Tune on a cluster of `--nodes` pretend nodes, each a raylet of its own,
whose workers sleep and make up an accuracy. One line of JSON.
"""

from __future__ import annotations

import argparse
import gc
import io
import itertools
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from search.cluster.quirks import ENVIRONMENT as RAY_ENVIRONMENT

# Ray reads it when it is imported. Dozens of workers start at once on the few cores of one machine.
os.environ.update(RAY_ENVIRONMENT | {"RAY_worker_register_timeout_seconds": "1200"})

from rich.console import Console
from sleeper import BUDGET, EPOCHS, Sleeper, epoch_result

from results import TrialRecord
from search.driver import early_stopping_rule
from search.settings import SearchSettings
from search.study.ledger import Ledger
from search.study.mirror import Mirror, together
from search.study.patience import Patience
from search.study.storage import open_study
from search.terminal.display import Display
from space import SearchSpace

ROOT = Path(__file__).resolve().parent.parent
SIZES = (100, 1000, 5000)
RECIPE: Any = SimpleNamespace(epochs=EPOCHS, warmup_epochs=0)
WINDOW = 50  # trials that a figure is the mean of


class Stopwatch:
    """Processor seconds of this process, and seconds it waited for the study's file."""

    def __init__(self) -> None:
        self._waited = 0.0
        self.rows: list[tuple[int, float, float, float]] = []  # finished, processor, waited, MB

    @contextmanager
    def timing_writes(self) -> Iterator[None]:
        write = Mirror._write

        def timed(mirror: Mirror) -> None:
            wall, own = time.perf_counter(), time.thread_time()
            write(mirror)
            self._waited += max(0.0, time.perf_counter() - wall - (time.thread_time() - own))

        Mirror._write = timed
        try:
            yield
        finally:
            Mirror._write = write

    def note(self, finished: int) -> None:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        megabytes = pages * resource.getpagesize() / 1e6
        self.rows.append((finished, time.process_time(), self._waited, megabytes))

    def per_trial(self, size: int) -> dict[str, float] | None:
        """Milliseconds a trial over the last `WINDOW` before `size` were finished."""
        rows = [row for row in self.rows if size - WINDOW <= row[0] <= size]
        if len(rows) < 2 or rows[-1][0] < size:
            return None
        (first, last), count = (rows[0], rows[-1]), rows[-1][0] - rows[0][0]
        return {
            "processor_ms": round(1e3 * (last[1] - first[1]) / count, 1),
            "waited_ms": round(1e3 * (last[2] - first[2]) / count, 1),
            "memory_mb": round(last[3]),
        }


def make_settings(trials: int, sampler: str, **changes: Any) -> SearchSettings:
    return SearchSettings(
        budget=BUDGET, space=SearchSpace.load("cifar"), trials=trials, sampler=sampler, **changes
    )


def train(ledger: Ledger, rule: Any) -> TrialRecord | None:
    """One trial from ask to record."""
    live = ledger.ask()
    if live is None:
        return None
    number = live.trial.number
    for epoch in range(1, EPOCHS + 1):
        result = epoch_result(live.flops, live.seed, epoch)
        ledger.report(number, result)
        told = {"flops": live.flops, "epoch": epoch, "accuracy": result["accuracy"]}
        if rule is not None and not rule.report(number, **told):
            return ledger.stop(number)
    return ledger.complete(number)


def fill(folder: Path, trials: int) -> None:
    """A study of that many finished trials, proposed at random, in the folder."""
    study = open_study(folder, "run", None)
    with together(study):
        ledger = Ledger(study, make_settings(trials, "random"))
        for _ in range(trials):
            train(ledger, None)


def ledger_alone(
    filled: Path, sampler: str, early_stopping: bool, size: int
) -> dict[str, float] | None:
    """The cost of a trial up to `size` in the study, without Ray."""
    with tempfile.TemporaryDirectory() as name:
        shutil.copyfile(filled / "study.db", Path(name) / "study.db")
        ledger = Ledger(open_study(Path(name), "run", None), make_settings(size, sampler))
        rule = early_stopping_rule(ledger, RECIPE) if early_stopping else None
        display = Display(ledger, Console(file=io.StringIO()))
        watch = Stopwatch()
        gc.collect()
        with watch.timing_writes():
            watch.note(len(ledger.finished))
            while (record := train(ledger, rule)) is not None:
                display.finished(record)
                watch.note(len(ledger.finished))
        return watch.per_trial(size)


class Watched(Display):
    """A display that notes the time whenever a trial is finished."""

    watch: Stopwatch

    def finished(self, record: TrialRecord) -> None:
        super().finished(record)
        self.watch.note(len(self.jobs.finished))


def through_tune(
    settings: SearchSettings, *, nodes: int, seconds: float, filled: int = 0
) -> Stopwatch:
    """A whole search whose workers sleep `seconds` an epoch, on `nodes` raylets; with `filled`, one
    that is resumed with so many trials finished."""
    workers = settings.workers or 1
    os.environ["PYTHONPATH"] = f"{ROOT / 'benchmarks'}:{ROOT}"
    import ray
    from ray.cluster_utils import Cluster

    import search.cluster.worker
    from search import working
    from search.cluster.connect import connected
    from search.cluster.tune import InTurn

    search.cluster.worker.ProxyTrainable = Sleeper
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": workers // nodes})
    for _ in range(nodes - 1):
        cluster.add_node(num_cpus=workers // nodes)
    watch = Stopwatch()
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if filled:
                fill(folder, filled)
            ledger = Ledger(open_study(folder, "run", None), settings)
            display = Watched(ledger, Console(file=io.StringIO()))
            display.watch = watch
            recipe: Any = SimpleNamespace(**vars(RECIPE), sleep=seconds)
            dataset: Any = SimpleNamespace(test_labels=())
            with connected(cluster.address), watch.timing_writes():
                watch.note(filled)
                work = working.Work(
                    folder=folder, settings=settings, dataset=dataset, recipe=recipe,
                    weights=folder / "weights",
                )  # fmt: skip
                working.train(work, ledger, display, Patience(), InTurn(), on_loss=sys.exit)
                nodes_seen = len(ray.nodes())
            assert len(ledger.finished) == settings.trials, ledger.counts()
            assert nodes_seen == nodes
    finally:
        cluster.shutdown()
    return watch


def show(what: str, size: int, figures: dict[str, float] | None) -> None:
    if figures is not None:
        print(
            f"{what:<44} {size:>6} trials: {figures['processor_ms']:7.1f} ms processor, "
            f"{figures['waited_ms']:6.1f} ms waiting for the file, {figures['memory_mb']} MB",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=max(SIZES))
    parser.add_argument("--filled", type=int, default=0, help="of these, finished beforehand")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=0.0, help="sleep of an epoch")
    parser.add_argument("--sampler", default="random", help="of the search through Tune")
    parser.add_argument("--no-early-stopping", action="store_true")
    parser.add_argument("--part", choices=["ledger", "tune", "both"], default="both")
    arguments = parser.parse_args()
    sizes = sorted({size for size in SIZES if size < arguments.trials} | {arguments.trials})
    report: dict[str, Any] = {
        "benchmark": "cluster_scale", "epochs": EPOCHS, "window": WINDOW,
        "load": os.getloadavg(), "nodes": arguments.nodes, "workers": arguments.workers,
    }  # fmt: skip
    if arguments.part != "tune":
        for size in sizes:
            with tempfile.TemporaryDirectory() as filled:
                fill(Path(filled), size - WINDOW)
                for sampler, stopping in itertools.product(("random", "frontier"), (False, True)):
                    what = f"ledger, {sampler}{', early stopping' if stopping else ''}"
                    figures = ledger_alone(Path(filled), sampler, stopping, size)
                    show(what, size, figures)
                    report[f"{what}, {size}"] = figures
    if arguments.part != "ledger":
        stopping = not arguments.no_early_stopping
        settings = make_settings(
            arguments.trials,
            arguments.sampler,
            workers=arguments.workers,
            early_stopping=stopping,
        )
        watch = through_tune(
            settings, nodes=arguments.nodes, seconds=arguments.seconds, filled=arguments.filled
        )
        what = f"search, {arguments.sampler}{', early stopping' if stopping else ''}"
        what += f", {arguments.nodes} nodes, {arguments.filled} filled"
        for size in sizes:
            figures = watch.per_trial(size)
            show(what, size, figures)
            report[f"{what}, {size}"] = figures
    report["load_after"] = os.getloadavg()
    print(json.dumps(report))


if __name__ == "__main__":
    main()
