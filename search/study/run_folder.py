"""The run folder of a search: its run.json, its weights, and the lock for one driver at a time."""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from results import load_run
from results.replace import make_folder, replace_file, sync_folder
from results.run import read_settings
from results.words import format_count, hide_password
from search.settings import SearchSettings
from search.study.description import describe_data, hardware, versions
from search.study.errors import StorageError, cannot_write, writing
from search.teaching import describe_teacher
from space.rules import show
from trainers.metrics import effective_images

if TYPE_CHECKING:
    from trainers import Dataset, Donor, Recipe
    from trainers.teacher import Teacher


NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)  # NFS, Lustre
SAME = 0.01  # of white, what two decoders may differ by


def new_run_folder(data: str, budget: int, runs: Path = Path("runs")) -> Path:
    """runs/<data>-<budget>, or the first of -2, -3, ... that is free."""
    stem = re.sub(r"[^A-Za-z0-9._]+", "-", Path(data).name or data).strip("-.") or "run"
    name = f"{stem[:40]}-{format_count(budget)}"
    candidates = (name if i == 1 else f"{name}-{i}" for i in range(1, 10**6))
    return next(runs / n for n in candidates if not (runs / n).exists())


def refuse_existing_run(folder: Path) -> None:
    """Raises ValueError if the folder holds a run, or what is left of one."""
    if (folder / "study.db").exists() and not (folder / "run.json").exists():
        raise ValueError(
            f"`--out` (={str(folder)!r}) must hold no run, but has a study.db whose run.json is "
            "lost: restore run.json to go on with it, or give another folder."
        )
    if (folder / "run.json").exists():
        raise ValueError(
            f"`--out` (={str(folder)!r}) already holds a run: go on with it by "
            f"`vit-frontier resume {folder}`, or give another folder."
        )


def claim_run_folder(data: str, budget: int) -> Path:
    """A new folder of a name of its own below runs/, made where that is possible."""
    while True:
        folder = new_run_folder(data, budget)
        try:
            make_folder(folder.parent)
            folder.mkdir()
            sync_folder(folder.parent)
        except FileExistsError:
            if folder.exists():
                continue  # another search took the name
        except OSError:
            pass  # `new_run` says why
        return folder


def new_run(
    settings: SearchSettings,
    dataset: Dataset,
    recipe: Recipe,
    command: list[str],
    donor: Donor | None = None,
    teacher: Teacher | None = None,
    confirm: Mapping[str, int] | None = None,
) -> Path:
    """Creates the run folder and its run.json; `confirm`: how the run is confirmed at its end.
    Raises ValueError if it holds a run."""
    folder = Path(settings.out)
    description = _describe_run(settings, dataset, recipe, command)
    description["confirm"] = None if confirm is None else dict(confirm)
    if donor is not None:
        description["init"] = {"name": donor.name, "fingerprint": donor.fingerprint()}
    if teacher is not None:
        description["teacher"] = describe_teacher(teacher, recipe, dataset)
    try:
        make_folder(folder)
        with only_driver(folder):  # of two that begin at once, one begins
            refuse_existing_run(folder)
            _write(folder, description)
    except OSError as error:
        cause = error.__context__ if isinstance(error, StorageError) else error
        reason = getattr(cause, "strerror", None) or error
        raise ValueError(
            f"`--out` (={str(folder)!r}) must be a folder that can be written: {reason}."
        ) from None
    return folder


def keep_trials(folder: Path, trials: int) -> str:
    """Writes down how many trials are asked for now, so that going on after a crash asks for as
    many; the run's name."""
    description = read_search(folder)
    if description["settings"].get("trials") != trials:
        description["settings"]["trials"] = trials
        with writing(folder):
            _write(folder, description)
    return str(description["name"])


def _write(folder: Path, description: dict[str, Any]) -> None:
    """run.json, whole or not at all; for its user alone if it holds a password."""
    storage = description.get("storage")
    secret = storage is not None and hide_password(storage) != storage
    text = json.dumps(description, indent=2) + "\n"
    replace_file(folder / "run.json", text, mode=0o600 if secret else None)


def discard_unbegun(folder: Path) -> None:
    """Removes the files of a run in its own folder that ended before anything was trained, so that
    the same command can be given again; not those of another search that runs there."""
    with contextlib.suppress(OSError, ValueError), only_driver(folder):
        if read_settings(folder).get("storage") is None and not load_run(folder).records:
            for name in ("study.db", "run.json", ".lock"):
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()


def keep_weights(folder: Path, number: int, weights: Any) -> None:
    """Writes a trial's weights (the bytes of a safetensors file) into the folder `weights` of a
    run. Raises StorageError."""
    with writing(folder.parent):
        make_folder(folder)
        if folder.is_symlink():
            raise OSError(errno.ELOOP, "a link out of the run folder", str(folder))
        replace_file(folder / f"{number}.safetensors", memoryview(weights))


def drop_weights(folder: Path, numbers: Collection[int]) -> None:
    """Removes the weights of these trials from the folder `weights` of a run, and no other file.
    Raises StorageError."""
    with writing(folder.parent):
        for file in folder.glob("*.safetensors"):
            if file.stem.isdecimal() and int(file.stem) in numbers:
                file.unlink(missing_ok=True)


@contextlib.contextmanager
def only_driver(folder: Path, what: str = "search") -> Iterator[str]:
    """Holds the run folder's lock, which the system drops when the process dies. Gives a
    sentence to be said where the file system has no locks, else an empty one."""
    import fcntl

    try:  # not through a link, out of the folder
        file = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise cannot_write(folder, error) from None
    with os.fdopen(file, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"{str(folder)!r} must have one {what} at a time, but another one is running it: "
                + (
                    f"look at it by `vit-frontier status {folder}`."
                    if what == "search"
                    else "wait for it, or give another folder."
                )
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise cannot_write(folder, error) from None
            yield (
                f"The file system of {str(folder)!r} has no locks ({error.strerror}): see that no "
                "other search runs in this folder."
            )
            return
        yield ""


def is_driven(folder: Path) -> bool:
    """Whether a search or a confirmation holds the run folder's lock; False without locks."""
    import fcntl

    try:
        with open(folder / ".lock", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def read_search(folder: Path) -> dict[str, Any]:
    """run.json with all that going on with a search takes. Raises ValueError."""
    description = read_settings(folder)
    for name in ("settings", "recipe", "data"):
        if not isinstance(description.get(name), dict):
            raise ValueError(
                f"In {str(folder / 'run.json')!r} `{name}` must be a table, but got "
                f"{show(description.get(name))}: restore the file."
            )
    return description


def check_same_data(run: Path, before: dict[str, Any], dataset: Dataset) -> None:
    """Raises ValueError unless `dataset` is what run.json (`before`) says of its data."""
    now = {
        "img_size": dataset.img_size,
        "class_names": list(dataset.class_names),
        "train": len(dataset.train_labels),
        "validation": len(dataset.val_labels),
        "fingerprint": dataset.fingerprint(),
    }
    seen, brightness = before.get("brightness", ()), dataset.brightness()
    if len(seen) == len(brightness) and not np.allclose(seen, brightness, rtol=0, atol=SAME):
        raise ValueError(
            "A run must be resumed on the data it began with, but as many other images are there: "
            f"restore the data of {run}, or start another run."
        )
    for name, value in now.items():
        if value != before.get(name) and (name in before or name != "fingerprint"):
            raise ValueError(
                f"A run must be resumed on the data it began with, but `{name}` was "
                f"{before.get(name)!r:.200} and is {value!r:.200}: restore the data of {run}, or "
                "start another run."
            )


def check_same_donor(run: Path, before: dict[str, Any], donor: Donor) -> None:
    """Raises ValueError unless `donor` is the pretrained network that run.json tells of."""
    known = before.get("init")
    if not isinstance(known, dict) or known.get("fingerprint") != donor.fingerprint():
        raise ValueError(
            f"A run must be resumed from the weights it began with, but {donor.name} has others: "
            f"restore those of {run}, or start another run."
        )


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
        "data": describe_data(dataset)
        | {"effective_validation": effective_images(settings.metric, dataset.val_labels)},
        "recipe": recipe.to_dict(),
        "storage": settings.storage,
        "versions": versions(),
        "hardware": hardware(),
        "seed": settings.seed,
    }
