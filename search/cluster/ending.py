"""How a search ends whose Ray is lost: with the process of a command, by an error in a program."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from search.terminal.messages import interrupted_text

if TYPE_CHECKING:
    from search.study.jobs import Jobs
    from search.study.patience import Patience
    from search.terminal.display import Display

LEAVING_SECONDS = 3.0  # in which a thread leaves a call into Ray, if it ever does
SIGNAL_SECONDS = 1.0  # in which a signal that also ended Ray's processes reaches this one


class ClusterLostError(RuntimeError):
    """Ray was lost under a search that a program had called. The run folder can be gone on with."""


class _Unwind(BaseException):
    """Raised in the thread of the search by another one; Tune catches no such thing."""


def end_process(folder: Path, jobs: Jobs, display: Display, patience: Patience, why: str) -> None:
    """Ends the process of a command, whose main thread may never come back from Ray."""
    time.sleep(SIGNAL_SECONDS)
    interrupted = patience.interrupted()
    with contextlib.suppress(Exception):
        jobs.release_all()
    with contextlib.suppress(Exception):
        display.__exit__()
    if interrupted:
        print(interrupted_text(folder, jobs.goes_on_by), file=sys.stderr, flush=True)
        os._exit(130)
    resume = f"vit-frontier {jobs.goes_on_by} {folder}"
    resume += "" if jobs.settings.on_this_machine else " --address HOST:PORT"
    print(
        f"Error: {why}. Nothing finished is lost; go on by: {resume}", file=sys.stderr, flush=True
    )
    os._exit(1)


@contextlib.contextmanager
def told_of_loss(
    folder: Path, patience: Patience, *, elsewhere: bool, by: str = "resume"
) -> Iterator[Callable[[str], None]]:
    """A function `tell(why)` for any thread, by which what runs inside ends in a ClusterLostError,
    or in KeyboardInterrupt. `elsewhere`: the cluster is not of this machine; `by`: what goes on."""
    # Ray is shut down, since it ends a process that stays without a head. A thread that is inside a
    # call into Ray is left when that returns.
    here, reasons = ctypes.c_ulong(threading.get_ident()), list[str]()
    lock, over = threading.Lock(), threading.Event()
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def said(why: str) -> str:
        address = ", address='HOST:PORT'" if elsewhere else ""
        call = "search.confirming.confirm" if by == "confirm" else "search.resume"
        return f"{why}. Nothing finished is lost; go on by: {call}({str(folder)!r}{address})"

    def tell(why: str) -> None:
        time.sleep(SIGNAL_SECONDS)
        with lock:
            if reasons or over.is_set():
                return
            reasons.append(why)
            raise_in(here, ctypes.py_object(_Unwind))
        if not over.wait(LEAVING_SECONDS):  # Ray will end the process
            print(f"Error: {said(why)}", file=sys.stderr, flush=True)

    try:
        try:
            yield tell
        finally:
            with lock:
                over.set()
                raise_in(here, None)  # one that came too late
    except BaseException:
        if not reasons:
            raise
    else:
        return
    import ray

    ray.shutdown()
    if patience.interrupted():
        raise KeyboardInterrupt(interrupted_text(folder, by))
    raise ClusterLostError(said(reasons[0]))
