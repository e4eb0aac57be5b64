"""A database that is away for a while is waited for, and the user is told so."""

from __future__ import annotations

import functools
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy
from optuna.exceptions import StorageInternalError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_exponential,
)

from search.study.database import StudyDatabase, TakenOverError, TrialGoneError
from search.study.errors import KEPT, StorageError, cause_of, reason_of

READ_ONLY = "25006"  # of PostgreSQL: a standby that is about to take over says so
SILENT_SECONDS = 1.0  # an outage that is over sooner is not worth a word
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds between two tries, twice as long each time
Answer = TypeVar("Answer")


def _print(text: str) -> None:
    print(text, file=sys.stderr)


@dataclass
class Patience:
    """How an outage is waited for: `say` tells of it, `interrupted` ends the wait, and so do
    `seconds`. `then`: the command that goes on after that."""

    say: Callable[[str], None] = _print
    interrupted: Callable[[], bool] = lambda: False
    seconds: float = 600.0
    then: str = "resume"


class PatientDatabase:
    """A study's database that may be away for a while: a server that is restarted, a network that
    is cut, a file that is locked. Every method of it waits, and tries again.

    Each method is one transaction. One whose answer was lost may have been done, so doing it again
    must change nothing, as `StudyDatabase.write_trials` and setting an attribute do.

    Raises StorageError if waiting does not help or took too long; from then on, at once.
    """

    def __init__(
        self,
        database: StudyDatabase,
        patience: Patience,
        explain: Callable[[BaseException], StorageError],
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
        began, said = time.monotonic(), False

        def once() -> Answer:
            if self._failure is not None:
                raise self._failure
            return method(*args, **options)

        def tell(state: RetryCallState) -> None:
            nonlocal said
            error = state.outcome and state.outcome.exception()
            if error and not said and time.monotonic() - began > SILENT_SECONDS:
                said = True
                self._patience.say(self._waiting(error))

        again = Retrying(
            retry=retry_if_exception(_may_pass),
            wait=wait_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE),
            stop=stop_after_delay(self._patience.seconds),
            before_sleep=tell,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            answer = again(once)
        except TakenOverError as other:
            self._failure = self._taken_over(other)
        except TrialGoneError as number:
            self._failure = self._trial_gone(number)
        except (StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
            failed = self._gone if _may_pass(error) else self._explain
            self._failure = failed(cause_of(error))
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
        while time.monotonic() < end:
            if self._failure is None and self._patience.interrupted():
                self._failure = StorageError(
                    f"Interrupted while the study's storage did not answer. {KEPT}; go on by: "
                    f"vit-frontier {self._patience.then} {self._folder}",
                    interrupted=True,
                )
            if self._failure is not None:
                raise self._failure
            time.sleep(0.1)

    def _waiting(self, error: BaseException) -> str:
        return (
            f"The study's storage does not answer ({reason_of(cause_of(error))}): waiting for it, "
            f"at most {self._patience.seconds / 60:.0f} min ..."
        )

    def _taken_over(self, other: TakenOverError) -> StorageError:
        return StorageError(
            f"The search of {str(self._folder)!r} was gone on with elsewhere ({other}), "
            f"and this one ends. {KEPT}; where the other runs, look at it by: "
            "vit-frontier status RUN"
        )

    def _trial_gone(self, number: TrialGoneError) -> StorageError:
        return StorageError(
            f"The study's storage lacks trial {number}, which it had written: it was restored, or "
            "a standby took over before it had all. What it lacks is trained again; go on by: "
            f"vit-frontier {self._patience.then} {self._folder}"
        )

    def _gone(self, cause: BaseException) -> StorageError:
        return StorageError(
            f"The study's storage has not answered for {self._patience.seconds / 60:.0f} min "
            f"({reason_of(cause)}). {KEPT}: start it again, then go on by: "
            f"vit-frontier {self._patience.then} {self._folder}"
        )


def _may_pass(error: BaseException) -> bool:
    """Whether waiting may help."""
    cause = cause_of(error)
    if isinstance(cause, sqlalchemy.exc.DBAPIError):
        if isinstance(cause.orig, sqlite3.Error):
            return getattr(cause.orig, "sqlite_errorname", "").startswith("SQLITE_BUSY")
        if READ_ONLY in (getattr(cause.orig, name, None) for name in ("sqlstate", "pgcode")):
            return True
    return isinstance(
        cause,
        (
            sqlalchemy.exc.OperationalError,
            sqlalchemy.exc.InterfaceError,
            sqlalchemy.exc.TimeoutError,
        ),
    )
