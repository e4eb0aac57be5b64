"""The test split, read once, at the end, for members of the frontier and baselines."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.record import TEST_READINGS, test_accuracy_key
from search.cluster.connect import trial_resources
from search.settings import SearchSettings
from search.study.jobs import Jobs

if TYPE_CHECKING:
    from trainers import Dataset

READER_SECONDS = 60.0  # until the test split is read in this process, since no worker starts
LOOK_SECONDS = 1.0  # at whether it has
READER_STARTS = 3  # anew, where its machine or its process dies


def start_reader(settings: SearchSettings) -> Any:
    """Starts the worker that will read it."""
    import ray

    from search.cluster.worker import TestSplitReader

    # No CPUs are asked for: it starts while the last trials still hold theirs. Where its machine
    # dies, it starts on another one and reads again.
    gpus = trial_resources(settings)["gpu"]
    again = {"max_restarts": READER_STARTS, "max_task_retries": READER_STARTS}
    return ray.remote(TestSplitReader).options(num_cpus=0, num_gpus=gpus, **again).remote(gpus)


def measure_test_accuracy(
    weights: Path,
    settings: SearchSettings,
    jobs: Jobs,
    dataset: Dataset,
    reader: Any,
    say: Callable[[str], None],
) -> None:
    """Reads the test split once for every training to be tested that has no test accuracy; tells
    `say` of those whose weights are gone or broken."""
    import ray

    from results.charts import javascript

    members = []
    for record in jobs.tested():
        file = weights / f"{record.trial}.safetensors"
        if test_accuracy_key(record.trial) in jobs.study.user_attrs:
            continue
        try:
            members.append((record.trial, record.architecture.to_dict(), file.read_bytes()))
        except OSError as error:
            if record.baseline is not None and not file.exists():
                continue  # a run of before, which kept none of baselines
            say(f"{file} cannot be read ({error.strerror}): trial {record.trial} is not tested.")
    if not members:
        return
    earlier = jobs.study.user_attrs.get(TEST_READINGS, [])
    jobs.study.set_user_attr(TEST_READINGS, [*earlier, [number for number, *_ in members]])
    reader = reader or start_reader(jobs.settings)
    started = reader.is_there.remote()
    split = (dataset.test_images, dataset.test_labels)
    shape = {"mean": dataset.mean, "std": dataset.std, "metric": settings.metric}
    javascript()  # of the report: takes two seconds, in which the worker starts
    try:
        _answer(started, READER_SECONDS)
        found = _answer(reader.accuracies.remote(members, *map(ray.put, split), **shape))
    except ray.exceptions.RayError:  # no room for one more worker, or it cannot start or live
        from search.cluster.worker import TestSplitReader

        ray.kill(reader)
        found = TestSplitReader(gpus=0.0).accuracies(members, *split, **shape)
    for number, accuracy in found.items():
        if isinstance(accuracy, str):
            file = weights / f"{number}.safetensors"
            say(f"{file} does not hold the weights of trial {number} ({accuracy}): not tested.")
        else:
            jobs.study.set_user_attr(test_accuracy_key(number), accuracy)


def _answer(reference: Any, seconds: float = math.inf) -> Any:
    """What Ray has for `reference`. Between two looks, this thread can be told that Ray is lost."""
    import ray

    end = time.monotonic() + seconds
    while not ray.wait([reference], timeout=LOOK_SECONDS)[0]:
        if time.monotonic() > end:
            raise ray.exceptions.GetTimeoutError(f"no answer in {seconds:.0f} s")
    return ray.get(reference)
