"""One run folder read back: `run.json` and the study, opened read-only, also while a search writes.

Everything derived (frontier, exports, report) starts from `Run`; nothing here writes.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from results.frontier import hypervolume, pareto_front
from results.record import TrialRecord, record_from_trial
from space.files import refuse_irregular
from space.rules import LIMITS, show

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

SCHEMA = 1
_LOCK_SECONDS = 60.0  # how long a reader waits for a writer to finish its transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A search as its folder tells it. `settings` is `run.json` as a plain dict; `records` are the
    trials that were trained, by number; `over_budget` and `duplicates` count proposals that were
    not. `finished` is False while the search runs or after it was interrupted; `ended_short` says
    why a finished one has fewer trials than asked for."""

    path: Path
    name: str
    settings: dict[str, Any]
    records: tuple[TrialRecord, ...]
    over_budget: int = 0
    duplicates: int = 0
    finished: bool = False
    stop_reason: str | None = None
    ended_short: str | None = None

    @property
    def budget_flops(self) -> int:
        """The most multiply-accumulates a member of the frontier may cost."""
        return int(self.settings["budget_flops"])

    @property
    def reference_point(self) -> tuple[int, float]:
        """(budget, accuracy of guessing): where the hypervolume is measured from."""
        return self.budget_flops, 1.0 / int(self.settings["data"]["num_classes"])

    @property
    def front(self) -> list[TrialRecord]:
        """`pareto_front` of the records within the budget."""
        return pareto_front(self.records, budget_flops=self.budget_flops)

    @property
    def hypervolume(self) -> float:
        """`hypervolume` of the records, measured from `reference_point`."""
        budget, accuracy = self.reference_point
        return hypervolume(self.records, budget_flops=budget, reference_accuracy=accuracy)

    def count(self, state: str) -> int:
        """How many records are in `state`."""
        return sum(record.state == state for record in self.records)


def load_run(path: str | Path) -> Run:
    """The run in folder `path`. About 1 ms a trial. Raises ValueError naming what is missing."""
    folder = Path(path)
    settings = read_settings(folder)
    name = settings["name"]
    trials, study_attrs = _read_study(folder, name, settings.get("storage"))
    records = [record_from_trial(trial, study_attrs) for trial in trials]
    proposed = [trial.user_attrs.get("state") for trial in trials]
    return Run(
        path=folder,
        name=name,
        settings=settings,
        records=tuple(record for record in records if record is not None),
        over_budget=proposed.count("over_budget"),
        duplicates=proposed.count("duplicate"),
        finished=bool(study_attrs.get("finished", False)),
        stop_reason=study_attrs.get("stop_reason"),
        ended_short=study_attrs.get("ended_short"),
    )


def read_settings(folder: Path) -> dict[str, Any]:
    """`run.json` of a run folder. Raises ValueError if it is missing, broken or of another kind."""
    file = folder / "run.json"
    if not folder.is_dir():
        raise ValueError(f"A run is a folder, but {str(folder)!r} is {_what_is_there(folder)}.")
    try:
        refuse_irregular(file)
        settings = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(_no_run_here(folder)) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{str(file)!r} must be readable JSON, but: {str(error).rstrip('.')}. Restore it from "
            "a copy; the trials themselves are in study.db."
        ) from error
    _check_settings(file, settings)
    return dict(settings)


def hide_password(text: str) -> str:
    """`text` with the password of any URL in it replaced by ***."""
    text = re.sub(r"(?<=://)([^\s:/]*):(\S*|[^@/]*)@", r"\1:***@", text)
    return re.sub(r"(?i)([?&][^\s=&]*(?:pass|pwd)[^\s=&]*=)[^\s&]*", r"\1***", text)


def _check_settings(file: Path, settings: Any) -> None:
    if not isinstance(settings, dict) or settings.get("schema") != SCHEMA:
        got = settings.get("schema") if isinstance(settings, dict) else type(settings).__name__
        raise ValueError(
            f"{str(file)!r} must be a run description with `schema` {SCHEMA}, but has "
            f"{got!r:.200}: it was written by another program or by another version of "
            "vit-frontier."
        )
    for key in (*_TEXTS, *_INTEGERS):
        table, _, name = key.rpartition(".")
        values = settings.get(table) if table else settings
        value = values.get(name) if isinstance(values, dict) else None
        if key in _TEXTS:
            rule, holds = "a text", isinstance(value, str)
        else:
            low, high = _INTEGERS[key]
            rule = f"an integer from {low} to {high}"
            holds = type(value) is int and low <= value <= high
        if not holds and (value is not None or key in _REQUIRED):
            raise ValueError(
                f"In {str(file)!r} `{key}` must be {rule}, but got {show(value)}: restore the file."
            )


# Whatever is computed with. The rest is only shown.
_TEXTS = ("name", "storage", "data.name")
_INTEGERS = {
    "budget_flops": (1, 10**21),
    "data.num_classes": (1, LIMITS["num_classes"]),
    "data.validation": (0, 10**12),
    "hardware.memory_bytes": (0, 10**18),
}
_REQUIRED = ("name", "budget_flops", "data.num_classes")


def _what_is_there(folder: Path) -> str:
    if folder.exists():
        return "a file: give the folder that holds run.json"
    return "not there: `vit-frontier search` prints the folder it writes, runs/<name>"


def _no_run_here(folder: Path) -> str:
    if (folder / "study.db").exists():
        return (
            f"A run folder must hold run.json, but {str(folder)!r} has only study.db: restore "
            "run.json from a copy. Without one the trials can still be read by Optuna: "
            "optuna.load_study(study_name=None, storage='sqlite:///study.db')."
        )
    runs = sorted(str(child.parent) for child in folder.glob("*/run.json"))
    hint = f"give one of {', '.join(runs[:5])}" if runs else "give the folder that a search wrote"
    return f"A run folder must hold run.json, but {str(folder)!r} has none: {hint}."


def _read_study(
    folder: Path, name: str, url: str | None
) -> tuple[list[FrozenTrial], dict[str, Any]]:
    import optuna

    where = str(folder / "study.db") if url is None else hide_password(url)
    if url is None and not (folder / "study.db").is_file():
        raise ValueError(
            f"The study of this run must be in {where!r}, but the file is missing: restore it, or "
            "start the search again in another folder."
        )
    try:
        with _open_storage(folder, url) as storage:
            study = optuna.load_study(study_name=name, storage=storage)
            return study.get_trials(deepcopy=False), dict(study.user_attrs)
    except KeyError:
        raise ValueError(
            f"{where!r} must hold a study named {name!r:.200} (`name` in run.json), but has none."
        ) from None
    except Exception as error:
        cause = error.__cause__ or error  # Optuna says less than the database
        reason = hide_password(" ".join(str(getattr(cause, "orig", None) or cause).split()))
        fix = "else restore the file from a copy" if url is None else "else see that it answers"
        raise ValueError(
            f"The study in {where!r} must be readable, but: {reason}. If the search has only just "
            f"started, try again; {fix}."
        ) from error


@contextmanager
def _open_storage(folder: Path, url: str | None) -> Iterator[RDBStorage]:
    from optuna.storages import RDBStorage

    if url is None:
        # The URL only names the dialect: Optuna would format braces in a path.
        options: dict[str, Any] = {"creator": lambda: _connect_read_only(folder / "study.db")}
        url = "sqlite:///study.db"
    else:
        options = {}
    storage = RDBStorage(url, engine_kwargs=options, skip_table_creation=True)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _connect_read_only(file: Path) -> sqlite3.Connection:
    uri = f"file:{quote(str(file.resolve()))}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=_LOCK_SECONDS, check_same_thread=False)
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except sqlite3.OperationalError as error:
        connection.close()
        if not error.sqlite_errorname.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
            raise
        # A transaction of a dead writer is to be undone, or a write-ahead log to be read, and that
        # takes a right to write: in a copy, where nothing is changed.
        return _connect_copy(file)
    return connection


def _connect_copy(file: Path) -> sqlite3.Connection:
    """The database in memory, with what its journal or write-ahead log says."""
    with tempfile.TemporaryDirectory(prefix="vit-frontier-") as folder:
        for suffix in ("", "-journal", "-wal"):
            if (part := file.with_name(file.name + suffix)).is_file():
                shutil.copyfile(part, Path(folder) / part.name)
        disk = sqlite3.connect(Path(folder) / file.name)
        memory = sqlite3.connect(":memory:", check_same_thread=False)
        disk.backup(memory)
        disk.close()
    return memory
