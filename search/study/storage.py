"""Where a study is kept: opened, waited for while its server is away, and explained when it fails.

A run's study is `study.db` in its folder, or whatever database `--storage` names.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import shutil
import sqlite3
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import URL, make_url

from results.words import hide_password
from search.study.mirror import Mirror, StudyDatabase, TakenOverError
from space.rules import show

LOCK_SECONDS = 60.0  # how long the study may be locked by another reader or writer
SILENT_SECONDS = 1.0  # an outage that is over sooner is not worth a word
LONGEST_PAUSE = 2.0
KEPT = "Nothing finished is lost"
SILENT_SERVER = {  # libpq's names: seconds but for the last, in milliseconds
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
DRIVERS = {  # import name -> what to install
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "pymysql": "pymysql",
}
IN_MEMORY = re.compile(r"sqlite(\+\w+)?:(/*((file:)?:memory:)?(\?.*)?|.*[?&]mode=memory\b.*)")
Answer = TypeVar("Answer")


class StorageError(OSError):
    """A run cannot be written; the message says what to do. `interrupted`: the user did not wait
    for it to get better."""

    def __init__(self, message: str, *, interrupted: bool = False) -> None:
        super().__init__(message)
        self.interrupted = interrupted


def _print(text: str) -> None:
    print(text, file=sys.stderr)


@dataclass
class Patience:
    """How an outage is waited for: `say` tells of it, `interrupted` ends the wait, and so do
    `seconds`."""

    say: Callable[[str], None] = _print
    interrupted: Callable[[], bool] = lambda: False
    seconds: float = 600.0


class PatientDatabase:
    """A study's database that may be away for a while: every method waits, and tries again. Raises
    StorageError if waiting does not help or took too long; from then on, at once."""

    # A server is restarted, a network is cut, a file is locked. Each method is one transaction. One
    # whose answer was lost may have been done, so doing it again must change nothing, as
    # `StudyDatabase.write_trials` and setting an attribute do.

    def __init__(
        self,
        database: StudyDatabase,
        patience: Patience,
        explain: Callable[[Exception], StorageError],
        folder: Path,
    ) -> None:
        self._database, self._patience, self._explain = database, patience, explain
        self._folder = folder
        self._failure: StorageError | None = None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._database, name)
        if not callable(method):
            return method
        return functools.wraps(method)(functools.partial(self._insist, method))

    def _insist(self, method: Callable[..., Answer], *args: Any, **options: Any) -> Answer:
        began, pause, said = time.monotonic(), 0.1, False
        while self._failure is None:
            try:
                answer = method(*args, **options)
            except TakenOverError as other:
                self._failure = StorageError(
                    f"The search of {str(self._folder)!r} was gone on with elsewhere ({other}), "
                    f"and this one ends. {KEPT}; where the other runs, look at it by: "
                    "vit-frontier status RUN"
                )
            except (StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
                cause = _cause(error)
                waited = time.monotonic() - began
                if not _may_pass(cause):
                    self._failure = self._explain(cause)
                elif waited > self._patience.seconds:
                    self._failure = self._gone(cause)
                elif waited > SILENT_SECONDS and not said:
                    said = True
                    self._patience.say(
                        f"The study's storage does not answer ({_reason(cause)}): waiting for it, "
                        f"at most {self._patience.seconds / 60:.0f} min ..."
                    )
                self._sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                if said:
                    seconds = time.monotonic() - began
                    self._patience.say(
                        f"The study's storage answers again, after {seconds:.0f} s: going on."
                    )
                return answer
        raise self._failure

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self._failure is None and time.monotonic() < end:
            if self._patience.interrupted():
                self._failure = StorageError(
                    f"Interrupted while the study's storage did not answer. {KEPT}; go on by: "
                    f"vit-frontier resume {self._folder}",
                    interrupted=True,
                )
            time.sleep(0.1)

    def _gone(self, cause: Exception) -> StorageError:
        return StorageError(
            f"The study's storage has not answered for {self._patience.seconds / 60:.0f} min "
            f"({_reason(cause)}). {KEPT}: start it again, then go on by: "
            f"vit-frontier resume {self._folder}"
        )


def open_study(
    folder: Path, name: str, url: str | None, patience: Patience | None = None
) -> optuna.Study:
    """The study of a run, created if it is new. Raises ValueError if `--storage` cannot be opened
    or the study of a run with results is gone, StorageError if `study.db` cannot be opened."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    place, file = _database_folder(folder, url), folder / "study.db"
    results = [name for name in ("trials.csv", "weights") if (folder / name).exists()]
    lost = ValueError(
        f"The study of {str(folder)!r}, which has {' and '.join(results)}, must hold its trials, "
        f"but {'study.db' if url is None else 'the storage'} has none under the name {name!r}: "
        "restore it, or start another run."
    )
    if url is None and results and not (file.is_dir() or _size(file)):
        raise lost

    def explain(cause: Exception) -> StorageError:
        if url is None and (why := _unusable(file, cause)) is not None:
            return StorageError(
                f"The study {str(file)!r} must be the file that the search wrote, but {why}: "
                f"restore it from a copy, then go on by: vit-frontier resume {folder}"
            )
        if place is None:
            return StorageError(
                f"The study's storage refuses to be written ({_reason(cause)}). {KEPT}: mend that, "
                f"then go on by: vit-frontier resume {folder}"
            )
        return cannot_write(place, cause, run=folder)

    try:
        opened = _connect(url) if url else _open_file(folder.resolve() / "study.db")
    except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError) as error:
        raise explain(_cause(error)) from None
    except RuntimeError as error:  # its tables are of another version of Optuna
        raise ValueError(f"The study {str(file)!r} cannot be opened: {_reason(error)}") from None
    # It does what a StudyDatabase does, later if need be.
    database: Any = PatientDatabase(opened, patience or Patience(), explain, folder)
    study = optuna.create_study(
        study_name=name,
        storage=database,
        directions=["maximize", "minimize"],
        load_if_exists=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(["accuracy", "flops"])
    study = optuna.load_study(study_name=name, storage=Mirror(database, name))
    if results and not study.get_trials(deepcopy=False):
        raise lost
    return study


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _unusable(file: Path, cause: Exception) -> str | None:
    """Why it is no study, if that is what is wrong with it."""
    if not file.parent.is_dir():
        return None
    if not file.exists():
        return "it is gone"
    if file.is_dir():
        return "it is a folder"
    broken = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
    name = getattr(getattr(cause, "orig", None), "sqlite_errorname", "")
    return _reason(cause) if name in broken else None


def absolute_url(text: str) -> str:
    """A database URL whose file does not depend on where the program is run."""
    try:
        url = make_url(text)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        return text
    file = url.database
    if url.get_backend_name() != "sqlite" or not file or file.startswith((":", "file:", os.sep)):
        return text
    return url.set(database=os.path.abspath(file)).render_as_string(hide_password=False)


def refuse_memory(storage: str) -> None:
    """Raises ValueError for SQLite without a file, which would keep nothing."""
    if IN_MEMORY.fullmatch(storage):
        raise ValueError(
            f"`--storage` (={show(storage)}) must keep the study, but a database in memory is lost "
            "with the process: name a file, such as sqlite:////folder/study.db, or leave the "
            "option out."
        )


def refuse_existing_study(url: str, name: str) -> None:
    """Raises ValueError if the database cannot be opened or holds a study of that name."""
    database = _connect(url)
    try:
        database.get_study_id_from_name(name)
    except KeyError:
        return
    finally:
        database.engine.dispose()
    raise ValueError(
        f"`--storage` (={hide_password(url)!r}) already holds a study named {name!r}, as the run "
        "folder is: give another folder by --out, or go on with that run by `vit-frontier resume`."
    )


def _open_file(file: Path) -> StudyDatabase:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(file, timeout=LOCK_SECONDS, check_same_thread=False)
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    # The URL only names the dialect: a path may hold what a URL may not.
    return StudyDatabase("sqlite:///study.db", engine_kwargs={"creator": connect})


def _connect(text: str) -> StudyDatabase:
    """The database at a URL. Raises ValueError, without the password, if it does not answer or
    would keep nothing."""
    refuse_memory(text)
    shown = f"`--storage` (={hide_password(text.replace(' ', '%20'))!r})"
    try:
        url = make_url(text)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # the reason may quote the password
        raise ValueError(
            f"{shown} must be a database URL, such as postgresql+psycopg://user@host/database or "
            "sqlite:////folder/study.db, with special characters of a password as %XX."
        ) from None
    try:
        return StudyDatabase(text, engine_kwargs=_engine_options(url))
    except sqlalchemy.exc.NoSuchModuleError:
        rule = "must name a database that SQLAlchemy knows, such as postgresql+psycopg or mysql"
        raise ValueError(f"{shown} {rule}, but got {url.drivername!r}.") from None
    except ImportError as error:
        driver = getattr(error.__cause__, "name", None) or url.get_driver_name()
        raise ValueError(
            f"{shown} needs the package of its database driver, {driver}: "
            f"pip install '{DRIVERS.get(driver, driver)}'"
        ) from None
    except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError, RuntimeError) as error:
        reason = _reason(_cause(error))
        if url.password:
            reason = reason.replace(str(url.password), "***")
        raise ValueError(f"{shown} must be a database that answers, but: {reason}") from None
    except (KeyError, IndexError, ValueError) as error:
        if {"{", "}"} & set(text):  # Optuna fills braces in
            raise ValueError(f"{shown} must not hold braces: write them as %7B and %7D.") from None
        raise ValueError(f"{shown} must have options that can be read, but: {error}.") from None


def _engine_options(url: URL) -> dict[str, Any]:
    """A lost connection is found before it is used, a host that is away soon, and one that falls
    silent within an answer after half a minute, not after TCP's many."""
    options: dict[str, Any] = {"connect_timeout": 10}
    if url.get_backend_name() == "postgresql":
        options |= SILENT_SERVER
    elif url.get_backend_name() != "mysql":
        return {"pool_pre_ping": True}
    given = {key: value for key, value in options.items() if key not in url.query}
    return {"pool_pre_ping": True, "connect_args": given}


def _database_folder(folder: Path, url: str | None) -> Path | None:
    """Where the study's file lies; None if it is on a server."""
    if url is None:
        return folder
    if not url.startswith("sqlite:///"):
        return None
    return Path(make_url(url).database or "").resolve().parent


@contextmanager
def writing(folder: Path, then: str = "resume") -> Iterator[None]:
    """Has a file of a run folder that cannot be written explained as StorageError."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise cannot_write(folder, error, then=then) from error


def cannot_write(
    place: Path, error: Exception, *, run: Path | None = None, then: str = "resume"
) -> StorageError:
    """What is wrong with the folder `place` and what to do before `vit-frontier THEN RUN`."""
    go_on = f"go on by: vit-frontier {then} {run or place}"
    if not place.is_dir():
        return StorageError(
            f"The folder {str(place)!r} is gone: it was removed, or its disk was taken away. Bring "
            f"it back, then {go_on}"
        )
    reason = _reason(error)
    if _is_full(error):
        free = shutil.disk_usage(place).free / 1e6
        what = f"The disk of {str(place)!r} is full ({reason}; {free:.1f} MB left)"
        return StorageError(f"{what}. {KEPT}: make room there, then {go_on}")
    return StorageError(
        f"{str(place)!r} cannot be written ({reason}). {KEPT}: make the folder and the files in it "
        f"writable, then {go_on}"
    )


def _is_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(getattr(error, "orig", None), "sqlite_errorname", "") == "SQLITE_FULL"


def _cause(error: Exception) -> Exception:
    """What the database said, under what Optuna made of it."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else None
    return cause if isinstance(cause, Exception) else error


def _may_pass(cause: Exception) -> bool:
    """Whether waiting may help."""
    if isinstance(cause, sqlalchemy.exc.DBAPIError) and isinstance(cause.orig, sqlite3.Error):
        return getattr(cause.orig, "sqlite_errorname", "").startswith("SQLITE_BUSY")
    return isinstance(
        cause,
        (
            sqlalchemy.exc.OperationalError,
            sqlalchemy.exc.InterfaceError,
            sqlalchemy.exc.TimeoutError,
        ),
    )


def _reason(error: Exception) -> str:
    """One line of an error, passwords hidden."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    text = " ".join(str(getattr(error, "orig", None) or error).split())
    return hide_password(text)[:300]
