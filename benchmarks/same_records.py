"""Whether two checkouts of the project find the same: one search of digits and, with `--data`, one
of photographs, each by one worker from the same seed, compared trial by trial.

    python benchmarks/same_records.py --root OTHER_CHECKOUT [--epochs 3] [--data FOLDER]

Prints one line of JSON with what differs, and ends with 1 if anything does. An equal search of 12
trials of 30 epochs takes some five minutes a checkout on one core.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from results import TrialRecord, load_run

HERE = Path(__file__).resolve().parent.parent
COMPARED = "trial state baseline seed flops params architecture test_accuracy".split()


def search(root: Path, out: Path, words: list[str]) -> tuple[TrialRecord, ...]:
    """The records of a search by the checkout at `root`, read by this one."""
    done = subprocess.run(
        [sys.executable, "-m", "search", "search", *words, "--workers", "1", "--out", str(out)],
        cwd=out.parent, env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"The search of {root} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return load_run(out).records


def described(record: TrialRecord) -> dict[str, Any]:
    """What must be equal of a trial: not its times, nor who trained it."""
    values: dict[str, Any] = {name: getattr(record, name) for name in COMPARED}
    values["architecture"] = record.architecture.to_dict()
    for name in ("train_loss", "val_loss", "accuracy"):
        values[name] = [getattr(epoch, name) for epoch in record.curve]
    return values


def is_same(name: str, here: Any, there: Any) -> bool:
    """Whether two values are equal; losses of validation, which is done in other batches, to the
    fifth digit."""
    if name == "val_loss" and len(here) == len(there):
        return all(math.isclose(a, b, rel_tol=1e-5) for a, b in zip(here, there, strict=True))
    return bool(here == there)


def differences(ours: tuple[TrialRecord, ...], theirs: tuple[TrialRecord, ...]) -> list[str]:
    """What differs, in the order of the trials; nothing if the records are the same."""
    found = []
    if len(ours) != len(theirs):
        found.append(f"{len(ours)} records here, {len(theirs)} there")
    for number, pair in enumerate(zip(ours, theirs, strict=False)):
        here, there = map(described, pair)
        found += [
            f"record {number}: {name} is {here[name]} here, {there[name]} there"
            for name in here
            if not is_same(name, here[name], there[name])
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, required=True, help="the other checkout")
    parser.add_argument("--trials", type=int, default=12, help="of digits")
    parser.add_argument("--epochs", help="of digits; else as many as the proxy has")
    parser.add_argument("--data", type=Path, help="a folder <class>/*.jpg, searched as well")
    parser.add_argument("--budget", default="30M", help="of photographs")
    asked = parser.parse_args()
    both = ["--seed", "5", "--proxy", "faithful"]  # which was the default once, as these spaces
    digits = ["--budget", "2M", "--space", "digits", "--trials", str(asked.trials)]
    searches = {"digits": both + digits}
    if asked.epochs is not None:
        searches["digits"] += ["--epochs", asked.epochs]
    if asked.data is not None:
        data = str(asked.data.resolve())
        searches["photographs"] = [*both, "--budget", asked.budget, "--space", "cifar"]
        searches["photographs"] += ["--data", data]
        searches["photographs"] += ["--trials", "4", "--epochs", "2"]
    report: dict[str, Any] = {}
    for name, words in searches.items():
        with tempfile.TemporaryDirectory() as scratch:
            ours = search(HERE, Path(scratch) / "ours", words)
            theirs = search(asked.root.resolve(), Path(scratch) / "theirs", words)
        epochs = sum(len(record.curve) for record in ours)
        differing = differences(ours, theirs)
        report[name] = {"trials": len(ours), "epochs": epochs, "differences": differing}
    print(json.dumps(report))
    sys.exit(any(searched["differences"] for searched in report.values()))


if __name__ == "__main__":
    main()
