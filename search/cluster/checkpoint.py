"""Proxy trainings of more than a minute, kept after their epochs in this machine's cache folder, so
that one that was interrupted goes on where it was, to the same numbers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.replace import make_folder, replace_file
from search.cluster.nodes import ask_other_nodes
from trainers.images.cache import cache_root

if TYPE_CHECKING:
    from torch import Tensor, nn

    from trainers.proxy import ProxyTraining

LONG_SECONDS = 60.0  # shorter trainings are not kept
APART_SECONDS = 10.0  # of training between two writes
FORGOTTEN_SECONDS = 7 * 86_400.0  # since a run wrote its last one
DISK_SHARE = 0.1  # of what is free, that one may take
FORGETTING_SECONDS = 10.0  # that other machines have, at the end of a run
VERSION = 1
DIGEST_BYTES = 32


class KeptTraining(Iterator[dict[str, Any]]):
    """The epochs of the training that `begin` begins, kept in `file`, if there is one. One that is
    there is gone on with: its epochs are told again, with `kept`, how many they are."""

    def __init__(self, begin: Callable[[], ProxyTraining], file: Path | None) -> None:
        self._training, self._file = begin(), file
        self._told: list[dict[str, Any]] = []
        found = None if file is None else read(file)
        if found is not None:
            try:
                self._training.restore(found[0])
                self._told = found[1]
            except (KeyError, ValueError, RuntimeError):
                self._training = begin()
        self._again = [{**report, "kept": len(self._told)} for report in reversed(self._told)]
        self._due = max(LONG_SECONDS, self._seconds() + APART_SECONDS if self._told else 0.0)

    @property
    def model(self) -> nn.Module:
        """The network, as it is after the last epoch that was trained."""
        return self._training.model

    def __next__(self) -> dict[str, Any]:
        if self._again:
            return self._again.pop()
        report = next(self._training)
        self._told.append(report)
        is_last = report["epoch"] == self._training.recipe.epochs
        if self._file is not None and not is_last and self._seconds() >= self._due:
            self._due = self._seconds() + APART_SECONDS
            keep(self._file, self._training.state(), self._told)
        return report

    def _seconds(self) -> float:
        return float(sum(report["seconds"] for report in self._told))

    def forget(self) -> None:
        """Removes the file: the training is over."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.unlink()


def run_word(description: Mapping[str, Any]) -> str:
    """A word for the run of that run.json and its data, the same when it is gone on with."""
    return _digest([description.get(name) for name in ("name", "created", "data", "init")])


def file_of(run: str, **training: Any) -> Path | None:
    """Where a training of a run is kept: named by all that its numbers depend on, `training` in
    plain JSON. None where this machine has no cache folder."""
    import torch

    with contextlib.suppress(OSError, ValueError):
        return _folder(run) / _digest([VERSION, torch.__version__, training])
    return None


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def keep(file: Path, state: dict[str, Tensor], reports: list[dict[str, Any]]) -> None:
    """Writes it as a whole or not at all; where the disk refuses or has little room, not."""
    import torch
    from safetensors.torch import save

    told = torch.frombuffer(bytearray(json.dumps(reports).encode()), dtype=torch.uint8)
    content = save({**state, "reports": told})
    with contextlib.suppress(OSError):
        if not file.parent.is_dir():
            _forget_old(file.parent.parent)
            make_folder(file.parent)
        if len(content) < DISK_SHARE * shutil.disk_usage(file.parent).free:
            replace_file(file, hashlib.sha256(content).digest() + content)


def read(file: Path) -> tuple[dict[str, Tensor], list[dict[str, Any]]] | None:
    """State and epochs so far; None where there are none, or not as they were written."""
    from safetensors.torch import load

    try:
        found = file.read_bytes()
    except OSError:
        return None
    digest, content = found[:DIGEST_BYTES], found[DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        return None
    state = load(content)
    reports = json.loads(bytes(state.pop("reports").tolist()))
    return state, reports


def forget_run(run: str) -> None:
    """Removes all that is kept of a run, on every machine that answers."""
    _forget_here(run)
    ask_other_nodes(_forget_here, run, seconds=FORGETTING_SECONDS)


def _forget_here(run: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        shutil.rmtree(_folder(run), ignore_errors=True)


def _folder(run: str) -> Path:
    return cache_root() / "trainings" / run


def _forget_old(root: Path) -> None:
    """Removes what runs that never ended left behind."""
    for folder in root.iterdir() if root.is_dir() else ():
        files = [folder, *folder.iterdir()]
        if max(file.stat().st_mtime for file in files) < time.time() - FORGOTTEN_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
