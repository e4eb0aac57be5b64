"""One search from settings to report: run folder, study, Ray, frontier."""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from results import Run, load_run, write_results
from results.run import hide_password, read_settings
from search.baselines import baselines
from search.cluster import (
    connected,
    describe_room,
    few_bytes_for_ray,
    head_watched,
    trial_resources,
    workers,
)
from search.ledger import Ledger
from search.progress import Display
from search.settings import SearchSettings, refuse_existing_run
from search.sharing import for_workers
from search.storage import Patience, StorageError, cannot_write, open_study, writing

if TYPE_CHECKING:
    from trainers import Dataset, Recipe

BASELINE_SHARE = 4  # at most one trial in four is a baseline
DISK_SECONDS = 10.0  # between two looks at the disk of Ray's session
READER_SECONDS = 60.0  # until the test split is read in this process, since no worker starts


def new_run(settings: SearchSettings, dataset: Dataset, recipe: Recipe, command: list[str]) -> Path:
    """Creates the run folder and its run.json. Raises ValueError if it holds a run."""
    folder = Path(settings.out)
    refuse_existing_run(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        description = _describe_run(settings, dataset, recipe, command)
        temporary = folder / "run.json.tmp"
        secret = (
            settings.storage is not None and hide_password(settings.storage) != settings.storage
        )
        temporary.touch(mode=0o600 if secret else 0o666)
        temporary.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        temporary.replace(folder / "run.json")
    except OSError as error:
        with contextlib.suppress(OSError):
            (folder / "run.json.tmp").unlink()
        raise ValueError(
            f"`--out` (={str(folder)!r}) must be a folder that can be written: {error.strerror}."
        ) from None
    return folder


def discard_unbegun(folder: Path) -> None:
    """Removes the files of a run in its own folder that ended before anything was trained, so that
    the same command can be given again."""
    with contextlib.suppress(OSError, ValueError):
        if read_settings(folder).get("storage") is None and not load_run(folder).records:
            for name in ("study.db", "run.json", ".lock"):
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()


def forget_failures(folder: Path) -> int:
    """Has the failed trials of a run asked again; how many there were."""
    description = read_settings(folder)
    with _only_driver(folder):
        study = open_study(folder, description["name"], description.get("storage"))
        settings = SearchSettings.from_dict({**description["settings"], "out": str(folder)})
        study.set_user_attr("stop_reason", None)
        return Ledger(study, settings).forget_failures()


def run_search(
    folder: Path,
    settings: SearchSettings,
    dataset: Dataset,
    recipe: Recipe,
    *,
    console: Console,
    quiet: bool = False,
) -> tuple[Run, bool]:
    """Searches until the asked number of trials is finished; the run, and whether it was
    interrupted. The run folder must exist; a study that is there is gone on with."""
    with _only_driver(folder):
        name = json.loads((folder / "run.json").read_text(encoding="utf-8"))["name"]
        patience = Patience(
            say=partial(console.print, markup=False, highlight=False, soft_wrap=True)
        )
        study = open_study(folder, name, settings.storage, patience)
        study.set_user_attr("finished", False)
        ledger = Ledger(study, settings)
        if settings.baselines and not study.get_trials(deepcopy=False):
            most = settings.trials // BASELINE_SHARE
            for label, network in baselines(settings.space, settings.budget, most=most).items():
                ledger.enqueue(network, label)
        with Display(ledger, console, quiet=quiet) as display:
            display.note("Starting Ray ...")
            wanted = math.ceil((settings.workers or 0) * settings.cpus_per_trial)
            with (
                connected(settings.address, least_cpus=wanted),
                head_watched(lambda why: _end_without_head(folder, ledger, display, why)),
            ):
                display.note("")
                display.say(describe_room(settings))
                dataset = for_workers(dataset, display.say)
                interrupted, reader = _tune(
                    folder, settings, ledger, dataset, recipe, display, patience
                )
                if not interrupted:
                    display.note("Reading the test split for the frontier ...")
                    _measure_test_accuracy(folder, settings, ledger, dataset, reader)
                display.note("")
        study.set_user_attr("stop_reason", ledger.stop_reason)
        study.set_user_attr("finished", not interrupted)
        with writing(folder, "report"):
            run = load_run(folder)
            write_results(run)
        return run, interrupted


def _end_without_head(folder: Path, ledger: Ledger, display: Display, why: str) -> None:
    """Ends the process, whose main thread may never come back from Ray."""
    with contextlib.suppress(Exception):
        ledger.release_all()
    with contextlib.suppress(Exception):
        display.__exit__()
    resume = f"vit-frontier resume {folder}"
    resume += "" if ledger.settings.on_this_machine else " --address HOST:PORT"
    print(
        f"Error: {why}. Nothing finished is lost; go on by: {resume}", file=sys.stderr, flush=True
    )
    os._exit(1)


def _tune(
    folder: Path,
    settings: SearchSettings,
    ledger: Ledger,
    dataset: Dataset,
    recipe: Recipe,
    display: Display,
    patience: Patience,
) -> tuple[bool, Any]:
    """Trains; whether it was interrupted, and the reader of the test split if it was started."""
    from ray import tune

    from search.freeze_thaw import FreezeThaw
    from search.scheduler import FrontierHalving, InTurn
    from search.searcher import Recorder, Stop, StudySearcher
    from search.trainable import ProxyTrainable

    rule = FreezeThaw(
        ledger.problem,
        ledger.network,
        reference_accuracy=1.0 / settings.space.num_classes,
        seed=settings.seed,
        max_epochs=recipe.epochs,
        warmup_epochs=recipe.warmup_epochs,
    )
    rule.take_in(ledger.curves())
    resources = trial_resources(settings)
    reader: Any = None
    looked, full = time.monotonic(), None

    def step() -> None:
        nonlocal reader, looked, full
        display.update()
        if full is None and time.monotonic() - looked > DISK_SECONDS:
            looked, full = time.monotonic(), few_bytes_for_ray()
            if full is not None:
                display.say(f"Workers may not be able to start: {full}.")
        if reader is None and not ledger.remaining and len(ledger.live) < workers(settings):
            reader = _start_reader(settings)

    deadline = None if settings.time_limit is None else time.monotonic() + settings.time_limit
    stop = Stop(ledger, deadline)
    patience.interrupted = lambda: stop.interrupted
    recorder = Recorder(
        ledger,
        stop,
        weights=folder / "weights",
        silence=settings.silence,
        on_finished=display.finished,
        on_step=step,
    )
    scratch = tempfile.mkdtemp(prefix="vit-frontier-")
    try:
        with _signals(stop):
            tune.run(
                tune.with_parameters(
                    ProxyTrainable,
                    dataset=dataset,
                    recipe=recipe,
                    threads=max(1, int(settings.cpus_per_trial)),
                    gpus=resources["gpu"],
                ),
                name="search",
                search_alg=StudySearcher(
                    ledger, lambda: workers(settings), stop, recorder.judge_lost_workers
                ),
                scheduler=FrontierHalving(rule) if settings.early_stopping else InTurn(),
                num_samples=-1,
                resources_per_trial=resources,
                reuse_actors=True,
                callbacks=[recorder],
                stop=stop,
                storage_path=scratch,
                verbose=0,
                raise_on_failed_trial=False,
                _remote=False,
            )
    except OSError as error:
        if error.errno is not None:  # Ray's own have none
            raise
        _end_without_head(folder, ledger, display, f"Ray on this machine was lost ({error})")
    finally:
        with contextlib.suppress(StorageError):
            ledger.release_all()
        shutil.rmtree(scratch, ignore_errors=True)
    if stop.failure is not None:
        raise stop.failure
    return stop.interrupted, reader


@contextlib.contextmanager
def _signals(stop: Any) -> Iterator[None]:
    """Ctrl-C and SIGTERM stop the search cleanly; a second Ctrl-C at once."""

    def ask_to_stop(number: int, frame: Any) -> None:
        if stop.interrupted and number == signal.SIGINT:
            sys.exit(130)
        stop.interrupted = True

    kinds = (signal.SIGINT, signal.SIGTERM)
    try:
        before = {kind: signal.signal(kind, ask_to_stop) for kind in kinds}
    except ValueError:  # not the main thread: the caller handles signals
        yield
        return
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


@contextlib.contextmanager
def _only_driver(folder: Path) -> Iterator[None]:
    """Holds the run folder's lock, which the system drops when the process dies."""
    import fcntl

    try:
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise cannot_write(folder, error) from None
    with file as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(
                f"{str(folder)!r} must have one search at a time, but another one is running it: "
                f"look at it by `vit-frontier status {folder}`."
            ) from None
        yield


def _start_reader(settings: SearchSettings) -> Any:
    import ray

    from search.trainable import TestSplitReader

    # No CPUs are asked for: it starts while the last trials still hold theirs. Where its machine
    # dies, it starts on another one and reads again.
    gpus = trial_resources(settings)["gpu"]
    again = {"max_restarts": -1, "max_task_retries": -1}
    return ray.remote(TestSplitReader).options(num_cpus=0, num_gpus=gpus, **again).remote(gpus)


def _measure_test_accuracy(
    folder: Path, settings: SearchSettings, ledger: Ledger, dataset: Dataset, reader: Any
) -> None:
    """Reads the test split once for every frontier member that has weights and no test accuracy."""
    import ray

    members = []
    for record in ledger.front:
        file = folder / "weights" / f"{record.trial}.safetensors"
        known = f"test_accuracy:{record.trial}" in ledger.study.user_attrs
        if file.exists() and not known:
            members.append((record.trial, record.architecture.to_dict(), file.read_bytes()))
    if not members or not len(dataset.test_labels):
        return
    reader = reader or _start_reader(settings)
    started = reader.is_there.remote()
    split = (dataset.test_images, dataset.test_labels)
    shape = {"mean": dataset.mean, "std": dataset.std}
    import_module("results.report")  # takes a second, in which the worker starts
    if ray.wait([started], timeout=READER_SECONDS)[0]:
        found = ray.get(reader.accuracies.remote(members, *map(ray.put, split), **shape))
    else:  # no room for one more worker, or no disk for its logs
        from search.trainable import TestSplitReader

        found = TestSplitReader(gpus=0.0).accuracies(members, *split, **shape)
    for number, accuracy in found.items():
        ledger.study.set_user_attr(f"test_accuracy:{number}", accuracy)


def _describe_run(
    settings: SearchSettings, dataset: Dataset, recipe: Recipe, command: list[str]
) -> dict[str, Any]:
    """The contents of run.json."""
    return {
        "schema": 1,
        "name": Path(settings.out).resolve().name,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": [hide_password(word) for word in command],
        "settings": settings.to_dict(),
        "budget_flops": settings.budget,
        "max_params": settings.max_params,
        "space": settings.space.to_dict(),
        "data": {
            "name": dataset.name,
            "img_size": dataset.img_size,
            "in_chans": dataset.in_chans,
            "num_classes": dataset.num_classes,
            "class_names": list(dataset.class_names),
            "train": len(dataset.train_labels),
            "validation": len(dataset.val_labels),
            "test": len(dataset.test_labels),
            "skipped": len(dataset.skipped),
        },
        "recipe": recipe.to_dict(),
        "storage": settings.storage,
        "versions": versions(),
        "hardware": hardware(),
        "seed": settings.seed,
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in ("vit-frontier", "torch", "timm", "optuna", "ray", "numpy", "fvcore"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "from a checkout" if name == "vit-frontier" else "not installed"
    return found


def hardware() -> dict[str, Any]:
    """This machine: cores, processor, memory and GPUs."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((ln.split(":", 1)[1].strip() for ln in lines if "model name" in ln), cpu)
    gpus: list[str] = []
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpus": os.cpu_count(), "cpu": cpu, "gpus": gpus, "memory_bytes": memory}
