"""The Ray cluster of a search: connecting to it, and how many trials it has room for."""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from results.words import counted
from search.settings import SearchSettings, refuse_ray_client

# Ray reads these at import. Its own console output, file loggers and usage statistics are off, and
# a trial that is told to stop is given 10 s to finish its epoch.
RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "10",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # Actors start side by side, not one after another: the searcher limits how many there are.
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",
    "TUNE_WARN_THRESHOLD_S": "60",
    # Else Tune runs a trial again without a word whose machine was taken away with notice.
    "RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE": "1",
}
LEAST_SESSION_BYTES = 5 * 10**6  # with less, workers may not start
KNOCK_SECONDS = 10.0
NODE_KNOCK_SECONDS = 3.0
HEAD_LOOK_SECONDS = 2.0  # between two looks at whether the head answers
# Ray ends a process that has not heard of the head for this long, without a word that a user
# understands; the search says so before, at a share of that time.
RAY_GIVES_UP = ("RAY_gcs_rpc_server_reconnect_timeout_s", "60")
HEAD_SHARE = 0.7


def trial_resources(settings: SearchSettings) -> dict[str, float]:
    """What Ray reserves for one trial."""
    import ray

    gpus = settings.gpus_per_trial
    if gpus is None:
        gpus = 1.0 if ray.cluster_resources().get("GPU", 0) else 0.0
    return {"cpu": settings.cpus_per_trial, "gpu": gpus}


def workers(settings: SearchSettings) -> int:
    """How many trials run at a time: as asked, else as many as the cluster has room for now."""
    return settings.workers or max(1, room(settings))


def room(settings: SearchSettings) -> int:
    """How many trials the nodes of the cluster have room for now, none on two nodes."""
    import ray

    need = trial_resources(settings)
    wants = [(name, need[key]) for key, name in (("cpu", "CPU"), ("gpu", "GPU")) if need[key] > 0]
    have = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(
        min(room_for(node.get(name, 0.0), amount) for name, amount in wants) for node in have
    )


def room_for(there: float, amount: float) -> int:
    """How often `amount` is there, a fraction never on two of them."""
    if amount < 1:
        return int(there) * math.floor(1 / amount + 1e-9)
    return math.floor(there / amount + 1e-9)


def describe_room(settings: SearchSettings) -> str:
    """How many trials will run at a time, and why. Raises ValueError if there is no room for one
    and no other machine could join."""
    import ray

    need, have = trial_resources(settings), ray.cluster_resources()
    each = _describe_resources(need["cpu"], need["gpu"])
    there = _describe_resources(have.get("CPU", 0.0), have.get("GPU", 0.0))
    fits = room(settings)
    if not fits and settings.on_this_machine:
        raise ValueError(
            f"A trial must fit on this machine, which has {there}, but it takes {each}: lower "
            "--cpus-per-trial or --gpus-per-trial."
        )
    if not fits:
        return f"No node of the cluster has room for a trial of {each}: waiting for one that does."
    nodes = sum(node["Alive"] for node in ray.nodes())
    at_a_time = min(fits, settings.workers or fits)
    asked = f", {settings.workers} were asked for" if at_a_time < (settings.workers or 0) else ""
    return (
        f"{counted(at_a_time, 'trial')} at a time, {each} each: {counted(nodes, 'node')} with "
        f"{there} {'has' if nodes == 1 else 'have'} room for {fits}{asked}."
    )


def _describe_resources(cpus: float, gpus: float) -> str:
    """'1 CPU core and 0.25 GPU'."""
    return counted(cpus, "CPU core") + (f" and {counted(gpus, 'GPU')}" if gpus else "")


@contextlib.contextmanager
def connected(address: str | None, *, least_cpus: int = 1) -> Iterator[None]:
    """Ray, on the cluster at `address` or RAY_ADDRESS; without one, or for "local", on this machine
    with at least `least_cpus`. Raises ValueError if no cluster answers there."""
    for name, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    _silence_ray()
    on_sigterm = _sigterm_kept()
    address = address or os.environ.get("RAY_ADDRESS")
    refuse_ray_client(address)
    if ray.is_initialized():
        yield
        return
    if address and address != "local":
        try:
            _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise ValueError(_explain_connection(address, error)) from None
    else:
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        try:
            ray.init(
                address="local",
                num_cpus=max(cpus or 1, least_cpus),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except Exception as error:  # Ray raises that very class
            why = _explain_start(error)
            ray.shutdown()  # which may free the disk
            raise ValueError(why) from None
    on_sigterm()
    try:
        yield
    finally:
        # Garbage collected in another thread while Ray shuts down may hold a reference of Ray's,
        # and giving that back to a half dead Ray ends the process.
        gc.collect()
        gc.disable()
        try:
            ray.shutdown()
        finally:
            gc.enable()


@contextlib.contextmanager
def head_watched(on_lost: Callable[[str], None]) -> Iterator[None]:
    """Calls `on_lost(sentence)` in a thread when the cluster's head has been silent for too long,
    or the raylet of this machine has ended. The main thread cannot: without a head, calls into Ray
    do not return, and without a raylet Ray ends the process."""
    import ray

    context = ray.get_runtime_context()
    address, here = context.gcs_address, context.get_node_id()
    raylet = next(
        f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
        for node in ray.nodes()
        if node["NodeID"] == here
    )
    limit = HEAD_SHARE * float(os.environ.get(*RAY_GIVES_UP))
    over = threading.Event()

    def watch() -> None:
        heard = time.monotonic()
        while not over.wait(min(HEAD_LOOK_SECONDS, limit / 3)):
            try:
                _knock(raylet)
            except ConnectionRefusedError:
                if not over.is_set():
                    on_lost("Ray on this machine was lost: its raylet ended")
                return
            except OSError:
                pass
            try:
                _knock(address, NODE_KNOCK_SECONDS)
                heard = time.monotonic()
            except OSError:
                silent = time.monotonic() - heard
                if silent > limit and not over.is_set():
                    on_lost(
                        f"The head of the Ray cluster at {address} is lost: {silent:.0f} s silent"
                    )
                    return

    threading.Thread(target=watch, daemon=True, name="head-watch").start()
    try:
        yield
    finally:
        over.set()


def died_alone(actor_id: str | None) -> bool:
    """Whether a lost actor's process died on a machine that lives on; else the machine or the
    network was lost. An actor that Ray ended itself had only lost its connection."""
    from ray._private import state
    from ray.core.generated.common_pb2 import ActorDiedErrorContext

    actor = state.actors(actor_id) if actor_id else None
    if not actor:
        return True
    reason = actor["DeathCause"].actor_died_error_context.reason
    ended_by_ray = actor["State"] != "DEAD" or reason in (
        ActorDiedErrorContext.OUT_OF_SCOPE,
        ActorDiedErrorContext.REF_DELETED,
        ActorDiedErrorContext.NODE_DIED,
    )
    return not ended_by_ray and node_answers(actor["Address"]["NodeID"])


def node_answers(node_id: str) -> bool:
    """Whether the raylet of a node listens; Ray itself may take a minute to notice a dead node."""
    import ray

    node = next((node for node in ray.nodes() if node["NodeID"] == node_id), None)
    if node is None or not node["Alive"]:
        return False
    with contextlib.suppress(OSError):
        _knock(f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}", NODE_KNOCK_SECONDS)
        return True
    return False


def _sigterm_kept() -> Callable[[], object]:
    """Has SIGTERM end a search as it would without Ray, whose handlers end the process with 15 or,
    in C++, abort it: none is set while Ray starts, and what this returns undoes that of C++."""
    import ray._private.utils

    ours = signal.getsignal(signal.SIGTERM)
    if not callable(ours) or threading.current_thread() is not threading.main_thread():
        return lambda: None
    ray._private.utils.set_sigterm_handler = lambda theirs: None
    return lambda: signal.signal(signal.SIGTERM, ours)


def _silence_ray() -> None:
    """Ray's words about workers go to its log files; ours are in the records."""
    import ray._private.services
    import ray._private.utils
    import ray._private.worker

    for name in ("ray", "ray.tune", "ray.tune.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # What raylets report of dead workers is printed to stdout, and no setting turns that off.
    ray._private.worker.print_to_stdstream = lambda *data, **options: None
    # A signal to all processes of a search must not end Ray before the search; where the system
    # ends Ray with the search, its processes are a group of their own.
    services = ray._private.services
    if ray._private.utils.detect_fate_sharing_support():
        services.ConsolePopen = partial(subprocess.Popen, process_group=0)


def _knock(address: str, seconds: float = KNOCK_SECONDS) -> None:
    """Raises OSError if nothing listens at host:port; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=seconds).close()


def _explain_start(error: Exception) -> str:
    reason = " ".join(str(error).split())[:300]
    if (few := few_bytes_for_ray()) is not None:
        reason = few
    elif "AF_UNIX" in reason:
        reason = (
            f"the name of {str(_session_folder())!r}, where it keeps its session, is too long for "
            "its sockets: set RAY_TMPDIR to a folder with a short name, such as /tmp"
        )
    return f"Ray must be able to start on this machine, but: {reason}"


def _session_folder() -> Path:
    return Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")


def few_bytes_for_ray() -> str | None:
    """What to do if the disk of Ray's session, which holds its logs, is nearly full."""
    folder = _session_folder()
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return f"{str(folder)!r}, where it keeps its session, is not there: set RAY_TMPDIR"
    if free >= LEAST_SESSION_BYTES:
        return None
    return (
        f"the disk of {str(folder)!r}, where Ray keeps its session, is full "
        f"({free / 1e6:.1f} MB left): make room there or set RAY_TMPDIR to another folder"
    )


def _explain_connection(address: str, error: Exception) -> str:
    """What to do when a cluster does not answer."""
    text = " ".join(str(error).split())
    # Something listens there, and Ray does not say why it may not connect.
    refused = text.startswith("Failed to connect to Ray cluster")
    if refused or "token" in text.lower() or "auth" in text.lower():
        other = " If the token is right, see that the port is the head's." if refused else ""
        return (
            f"The Ray cluster at {address!r} asks for a token: set RAY_AUTH_MODE=token and give "
            "the cluster's token by RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token."
            f"{other}"
        )
    return (
        f"`--address` (={address!r}) must be a Ray cluster that answers, but: {text[:300]} Start "
        "one by `ray start --head`, or leave --address out to use this machine."
    )
