"""Where a study is kept, and how it is opened: `study.db` in its run's folder, or whatever database
`--storage` names; that of a confirmation in `confirm.db` beside it."""

from __future__ import annotations

import os
import re
import sqlite3
import warnings
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import URL, make_url

from results.study_file import CONFIRM_FILE, SEARCH_FILE, without_prepared
from results.words import hide_password
from search.study.database import StudyDatabase
from search.study.errors import KEPT, StorageError, cannot_write, cause_of, reason_of
from search.study.mirror import Mirror
from search.study.patience import Patience, PatientDatabase
from space.rules import show

LOCK_SECONDS = 60.0  # how long the study may be locked by another reader or writer
SILENT_SERVER = {  # libpq's names: seconds but for the last, in milliseconds
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
RESULTS_OF = {SEARCH_FILE: ("trials.csv", "weights"), CONFIRM_FILE: ("confirmed.json",)}
DRIVERS = {  # import name -> what to install
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "pymysql": "pymysql",
}
IN_MEMORY = re.compile(r"sqlite(\+\w+)?:(/*((file:)?:memory:)?(\?.*)?|.*[?&]mode=memory\b.*)")


def open_study(
    folder: Path,
    name: str,
    url: str | None,
    patience: Patience | None = None,
    *,
    kept: str = SEARCH_FILE,
) -> optuna.Study:
    """The study of a run, created if it is new; `kept`: its file where there is no `url`. Raises
    ValueError if `--storage` cannot be opened or the study of a run with results is gone,
    StorageError if its file cannot be opened."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    place, file = _database_folder(folder, url), folder / kept
    results = [name for name in RESULTS_OF[kept] if (folder / name).exists()]
    patience = patience or Patience()
    go_on = f"vit-frontier {patience.then} {folder}"
    lost = ValueError(
        f"The study of {str(folder)!r}, which has {' and '.join(results)}, must hold its trials, "
        f"but {kept if url is None else 'the storage'} has none under the name {name!r}: "
        "restore it, or start another run."
    )
    if url is None and results and not (file.is_dir() or _size(file)):
        raise lost

    def explain(cause: BaseException) -> StorageError:
        if url is None and (why := _unusable(file, cause)) is not None:
            return StorageError(
                f"The study {str(file)!r} must be the file that the search wrote, but {why}: "
                f"restore it from a copy, then go on by: {go_on}"
            )
        if place is None:
            return StorageError(
                f"The study's storage refuses to be written ({reason_of(cause)}). {KEPT}: mend "
                f"that, then go on by: {go_on}"
            )
        return cannot_write(place, cause, run=folder, then=patience.then)

    try:
        opened = _connect(url) if url else _open_file(folder.resolve() / kept)
    except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError) as error:
        raise explain(cause_of(error)) from None
    except RuntimeError as error:  # its tables are of another version of Optuna
        raise ValueError(f"The study {str(file)!r} cannot be opened: {reason_of(error)}") from None
    # It does what a StudyDatabase does, later if need be.
    database: Any = PatientDatabase(opened, patience, explain, folder)
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


def _unusable(file: Path, cause: BaseException) -> str | None:
    """Why it is no study, if that is what is wrong with it."""
    if not file.parent.is_dir():
        return None
    if not file.exists():
        return "it is gone"
    if file.is_dir():
        return "it is a folder"
    broken = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
    name = getattr(getattr(cause, "orig", None), "sqlite_errorname", "")
    return reason_of(cause) if name in broken else None


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
        # What was committed stays, also where the power is cut: it also syncs the folder.
        connection.execute("PRAGMA synchronous=EXTRA")
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
        reason = reason_of(cause_of(error))
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
        options |= {**SILENT_SERVER, **without_prepared(url.render_as_string())}
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
