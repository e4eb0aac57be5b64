"""The study of a run read back: opened read-only, also while a search writes it."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from results.words import hide_password

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

SEARCH_FILE, CONFIRM_FILE = "study.db", "confirm.db"  # of a run's folder
# What SQLite says where a search ended as it made the tables: Optuna would make the rest.
_UNMADE = ("no such table", "readonly database")
_LOCK_SECONDS = 60.0  # how long a reader waits for a writer to finish its transaction


class NoStudyError(ValueError):
    """There is no study: it was lost, or its search ended before it was made."""


def read_study(
    folder: Path, name: str, url: str | None, *, kept: str = SEARCH_FILE
) -> tuple[list[FrozenTrial], dict[str, Any]]:
    """Its trials and attributes, from the file `kept` in `folder`, or from the database at `url`.

    Raises ValueError if it is missing, broken or cannot be reached, NoStudyError if there is none.
    """
    import optuna

    where = str(folder / kept) if url is None else hide_password(url)
    if url is None and not (folder / kept).is_file():
        raise NoStudyError(
            f"The study of this run must be in {where!r}, but the file is missing: restore it, or "
            "start the search again in another folder."
        )
    try:
        with _open_storage(folder / kept, url) as storage:
            study = optuna.load_study(study_name=name, storage=storage)
            return study.get_trials(deepcopy=False), dict(study.user_attrs)
    except KeyError:
        raise NoStudyError(
            f"{where!r} must hold a study named {name!r:.200} (`name` in run.json), but has none."
        ) from None
    except Exception as error:
        cause = error.__cause__ or error  # Optuna says less than the database
        reason = hide_password(" ".join(str(getattr(cause, "orig", None) or cause).split()))
        if any(text in reason for text in _UNMADE):
            raise NoStudyError(
                f"The study in {where!r} must be readable, but its tables are not all made "
                f"({reason}). If the search has only just started, try again; if it ended then, go "
                f"on by `vit-frontier resume {folder}`; else restore the file from a copy."
            ) from error
        fix = "else restore the file from a copy" if url is None else "else see that it answers"
        raise ValueError(
            f"The study in {where!r} must be readable, but: {reason}. If the search has only just "
            f"started, try again; {fix}."
        ) from error


@contextmanager
def _open_storage(file: Path, url: str | None) -> Iterator[RDBStorage]:
    from optuna.storages import RDBStorage

    if url is None:
        # The URL only names the dialect: Optuna would format braces in a path.
        options: dict[str, Any] = {"creator": lambda: connect_read_only(file)}
        url = "sqlite:///study.db"
    else:
        options = {"connect_args": without_prepared(url)}
    storage = RDBStorage(url, engine_kwargs=options, skip_table_creation=True)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def without_prepared(url: str) -> dict[str, Any]:
    """What psycopg is told so that it prepares no statements: behind a pgbouncer in transaction
    mode another client would meet them."""
    return {"prepare_threshold": None} if url.startswith("postgresql+psycopg:") else {}


def connect_read_only(file: Path) -> sqlite3.Connection:
    """A connection that cannot write; to a copy in memory where reading takes a right to write."""
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
