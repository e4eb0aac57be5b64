"""What is used of Ray and Tune that they do not promise: variables, private names, sentences.
`check` looks for the names when a search starts."""

# Nothing else in the project names them, and `tests/search/cluster/test_quirks.py` has a test for
# each entry. All names were found in both releases of `TRIED`; Ray 2.45 lacks four of the
# sentences, which say `found_in`.

from __future__ import annotations

import contextlib
import inspect
import logging
import random
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from search.private_names import PrivateName, complaints

TRIED = ("2.45", "2.60")  # the oldest and the newest Ray

# Ray and Tune read these when they are imported or started.
ENVIRONMENT = {
    # Their own console output, file loggers and usage statistics are off.
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_THRESHOLD_S": "60",
    # Workers stay in the folder of the driver, where kinds and trainings of one's own lie.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Not read by Ray 2.45: there a worker without a GPU of Ray sees those of its machine and is
    # told to stay off them.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Ctrl-C is the driver's, and the study is the state.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    # A trial that is told to stop is given 10 s to finish its epoch.
    "TUNE_FORCE_TRIAL_CLEANUP_S": "10",
    # Actors start side by side, not one after another: the searcher limits how many there are.
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",
    # Else Tune runs a trial again without a word whose machine was taken away with notice.
    "RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE": "1",
    # On a machine whose cores are all busy, Ray's head, its agents and a worker's imports take
    # minutes. Ray 2.45 does not read the first.
    "RAY_gcs_server_port_wait_time_s": "240",
    "RAY_agent_register_timeout_ms": "240000",
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "240",
    "RAY_worker_register_timeout_seconds": "240",
}
START_SECONDS = 240.0  # in which the raylet of this machine must start, on a busy one too
AGENT_PORTS = (  # that its raylet waits for if it is not told them; the first also if it is
    "dashboard_agent_listen_port",
    "metrics_agent_port",
    "metrics_export_port",
    "runtime_env_agent_port",
)
TUNE_HERE = {"_remote": False}  # of `tune.run`: in this process, whose ledger it works on
# Ray ends a process that has not heard of the head for this long: the variable and its default.
GIVES_UP = ("RAY_gcs_rpc_server_reconnect_timeout_s", "60")

_TOO_BUSY = "on a machine whose cores are all busy Ray gives up as it starts"
NAMES = (
    PrivateName(
        name="ray._private.utils:set_sigterm_handler",
        without="SIGTERM ends a search at once, without a word on how to go on",
    ),
    PrivateName(
        name="ray._private.worker:print_to_stdstream",
        without="Ray prints what its raylets say of dead workers into the display",
    ),
    PrivateName(
        name="ray._private.services:ConsolePopen",
        without="Ctrl-C ends Ray before the search, which then ends as if its machine was lost",
    ),
    PrivateName(name="ray._private.services:get_node", without=_TOO_BUSY),
    PrivateName(name="ray._private.parameter:RayParams", without=_TOO_BUSY),
    PrivateName(
        name="ray._private.utils:detect_fate_sharing_support",
        without="Ctrl-C ends Ray before the search, which then ends as if its machine was lost",
    ),
    PrivateName(
        name="ray._private.state:actors",
        without="a search ends when a worker dies, since nobody says whether its machine did",
    ),
    PrivateName(
        name="ray.core.generated.common_pb2:ActorDiedErrorContext.OUT_OF_SCOPE",
        without="a search ends when a worker dies, since why it did cannot be read",
    ),
    PrivateName(
        name="ray.air.execution._internal.actor_manager:RayActorManager._actor_task_failed",
        without="a search ends at the first worker that Ray kills for want of memory",
    ),
    PrivateName(
        name="ray.air.execution._internal.actor_manager:RayActorManager.__init__",
        within="_live_actors_to_ray_actors_resources",
        without="a search cannot start its trials in turn, and ends",
    ),
    PrivateName(
        name="ray.tune.execution.tune_controller:TuneController.__init__",
        within="_trial_to_actor",
        without="a search cannot start its trials in turn, and ends",
    ),
    PrivateName(
        name="ray.tune.execution.tune_controller:TuneController.__init__",
        within="_actor_manager",
        without="a search cannot start its trials in turn, and ends",
    ),
    PrivateName(
        name="ray.tune.execution.tune_controller:TuneController.get_live_trials",
        without="a search cannot start its trials in turn, and ends",
    ),
    PrivateName(
        name="ray.tune:run",
        within="_remote",
        without="a search cannot start its trials, and ends",
    ),
    PrivateName(
        name="ray.tune.experiment.trial:_TemporaryTrialState.__init__",
        within="ray_actor",
        without="a worker that hangs cannot be killed",
    ),
    PrivateName(
        name="ray.tune.experiment:Trial.metric_analysis",
        without="a search ends with its first trial",
    ),
    PrivateName(
        name="ray.tune.experiment:Trial.metric_n_steps",
        without="a search ends with its first trial",
    ),
    PrivateName(
        name="ray.tune.experiment:Trial.error_file",
        without="a search ends when a worker dies, since what Ray says of it cannot be read",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """Words of Ray's that are looked for in its errors, and the file of Ray that holds them."""

    # `means`: the machine was lost, the worker could not start, the memory ran low, a cluster
    # refuses a connection, a name is too long for a socket, a machine too busy to start Ray.

    text: str
    means: Literal["machine", "unstarted", "memory", "refused", "socket", "slow"]
    file: str
    without: str
    found_in: tuple[str, ...] = TRIED


_GCS, _RAYLET = "core/src/ray/gcs/gcs_server", "core/src/ray/raylet/raylet"
_BLAMED = "a trial is blamed for a machine that was lost"
_TRIED_ON = "trials fail one after another where no worker can start, and the search goes on"

REFUSED = Sentence(  # a connection, without a reason
    text="Failed to connect to Ray cluster",
    means="refused",
    file="_private/worker.py",
    without="a cluster that asks for a token is not told from one that is not there",
    found_in=TRIED[1:],
)
TOO_LONG = Sentence(
    text="AF_UNIX",
    means="socket",
    file="_private/utils.py",
    without="it is not said that RAY_TMPDIR has too long a name",
)
TOO_SLOW = Sentence(
    text="timed out during startup",
    means="slow",
    file="_private/node.py",
    without="it is not said that this machine is too busy for Ray to start",
)
# Of what is said of a lost worker, the first that is found counts.
SENTENCES = (
    Sentence(text="node was terminated", means="machine", file=_GCS, without=_BLAMED),
    Sentence(
        text="node died",
        means="machine",
        file=_RAYLET,
        without=_BLAMED,
        found_in=TRIED[1:],
    ),
    Sentence(text="node has died", means="machine", file=_GCS, without=_BLAMED),
    Sentence(  # a result that went with its machine
        text="Failed to retrieve object", means="machine", file="exceptions.py", without=_BLAMED
    ),
    Sentence(
        text="worker startup repeatedly failed",
        means="unstarted",
        file=_GCS,
        without=_TRIED_ON,
        found_in=TRIED[1:],
    ),
    Sentence(
        text="Failed to startup worker",
        means="unstarted",
        file=_RAYLET,
        without=_TRIED_ON,
        found_in=TRIED[1:],
    ),
    Sentence(  # what the worker does first: imports, the images
        text="raised in its creation task",
        means="unstarted",
        file="exceptions.py",
        without=_TRIED_ON,
    ),
    Sentence(
        text="running low on memory",
        means="memory",
        file=_RAYLET,
        without="a training that Ray kills for its memory is not tried with half batches",
    ),
    REFUSED,
    TOO_LONG,
    TOO_SLOW,
)
# Ray names a lost actor "actor ID" or "actor_id: ID".
ACTOR = re.compile(r"\bactor(?:_id:)? ([0-9a-f]{32})\b")


def check() -> list[str]:
    """What is to be said of the Ray that is installed: a sentence if its version was never tried,
    and one for each private name that it does not have."""
    return complaints("ray", NAMES, TRIED, see="faults are told rightly")


def meaning(text: str) -> str | None:
    """What Ray says of a lost worker: "machine", "unstarted" or "memory" as in `Sentence`, or None
    if no sentence is known."""
    known = (s for s in SENTENCES if s not in (REFUSED, TOO_LONG, TOO_SLOW))
    return next((sentence.means for sentence in known if sentence.text in text), None)


def is_of_ray(error: Exception) -> bool:
    """Whether an error of Tune's says that Ray on this machine is lost: an OSError of Ray's has no
    error number."""
    return isinstance(error, OSError) and error.errno is None


# ---- signals and output ------------------------------------------------------------------------


def keep_sigterm() -> Callable[[], object]:
    """Keeps our handler of SIGTERM while Ray starts; what it returns sets it again afterwards.

    Ray's own handlers end the process with 15 or, in C++, abort it.
    """
    import ray._private.utils

    ours = signal.getsignal(signal.SIGTERM)
    if not callable(ours) or threading.current_thread() is not threading.main_thread():
        return lambda: None
    ray._private.utils.set_sigterm_handler = lambda theirs: None
    return lambda: signal.signal(signal.SIGTERM, ours)


def silence() -> None:
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
    if getattr(ray._private.utils, "detect_fate_sharing_support", bool)():
        services.ConsolePopen = partial(subprocess.Popen, process_group=0)


@contextlib.contextmanager
def patience_with_the_raylet() -> Iterator[None]:
    """While Ray starts on this machine, its raylet has `START_SECONDS` to do so, and so have the
    agents that it waits for: Ray's own 30 and 15 are too few where all cores are busy."""
    # The raylet waits for files that tell its agents' ports, and aborts, unless it is told them;
    # one it takes from its file alone (https://github.com/ray-project/ray/issues/65983).
    from ray._private import parameter, services

    ask, begin, params = services.get_node, services.ConsolePopen, parameter.RayParams
    started: list[subprocess.Popen[bytes]] = []
    end = time.monotonic() + START_SECONDS

    listen_at: list[int] = []

    def begun(words: list[str], **options: Any) -> subprocess.Popen[bytes]:
        if words and Path(words[0]).name == "raylet" and listen_at:
            _tell_port(words, listen_at[0])
        started.append(begin(words, **options))
        return started[-1]

    def asked_again(gcs_address: str, node_id: str) -> Any:
        while True:
            try:
                return ask(gcs_address, node_id)
            except RuntimeError:
                ended = any(process.poll() is not None for process in started)
                if ended or time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def with_ports(*words: Any, **options: Any) -> Any:
        known = inspect.signature(params).parameters
        open_ones = [n for n in AGENT_PORTS if n in known and options.get(n) is None]
        ports = dict(zip(open_ones, free_ports(), strict=False))
        listen_at[:] = [ports[name] for name in AGENT_PORTS[:1] if name in ports]
        return params(*words, **options | ports)

    parameter.RayParams = with_ports
    services.get_node, services.ConsolePopen = asked_again, begun
    try:
        yield
    finally:
        parameter.RayParams = params
        services.get_node, services.ConsolePopen = ask, begin


def _tell_port(raylet: Sequence[str], port: int) -> None:
    """Writes the file that a raylet, which is about to be started by these words, waits for."""
    given = dict(word[2:].partition("=")[::2] for word in raylet if word.startswith("--"))
    names: Any = import_module("ray._raylet")
    if hasattr(names, "persist_port"):  # an older Ray has no such file
        name = names.DASHBOARD_AGENT_LISTEN_PORT_NAME
        names.persist_port(given["session_dir"], given["node_id"], name, port)


def free_ports() -> Iterator[int]:
    """Ports of this machine that nothing listens at, of those that no connection is given."""
    for port in random.sample(range(20_000, 32_000), 12_000):
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind(("", port))
            yield port


# ---- why an actor died -------------------------------------------------------------------------


def node_of_death(actor_id: str) -> str | None:
    """The node on which a lost actor's process died by itself. "" if Ray says nothing of the actor.
    None if Ray ended it: it had lost its connection, or Ray saw its node die."""
    # `ray.util.state` would ask the dashboard, which a local search does not start.
    from ray._private import state
    from ray.core.generated.common_pb2 import ActorDiedErrorContext

    actor = state.actors(actor_id)
    if not actor:
        return ""
    reason = actor["DeathCause"].actor_died_error_context.reason
    ended_by_ray = actor["State"] != "DEAD" or reason in (
        ActorDiedErrorContext.OUT_OF_SCOPE,
        ActorDiedErrorContext.REF_DELETED,
        ActorDiedErrorContext.NODE_DIED,
    )
    return None if ended_by_ray else str(actor["Address"]["NodeID"])


def take_all_losses_for_lost_workers() -> None:
    """Makes two losses look to Tune like any other lost worker: one killed for want of memory, and
    a result that was lost with its machine. Tune would end the whole search at both."""
    from ray.air.execution._internal.actor_manager import RayActorManager
    from ray.exceptions import RayActorError, RayError, RayTaskError

    lost = RayActorManager._actor_task_failed

    def heard(manager: Any, tracked_actor_task: Any, exception: Exception) -> None:
        known = not isinstance(exception, RayError) or isinstance(
            exception, (RayActorError, RayTaskError)
        )
        lost(
            manager,
            tracked_actor_task,
            exception if known else RayActorError(error_msg=str(exception)),
        )

    if lost.__name__ != heard.__name__:  # not twice
        RayActorManager._actor_task_failed = heard


# ---- Tune's controller and its trials ----------------------------------------------------------


def waiting_trials(tune_controller: Any) -> list[Any]:
    """Tune's trials that are not over and have not begun."""
    from ray.tune.experiment import Trial

    return [t for t in tune_controller.get_live_trials() if t.status == Trial.PENDING]


def actors_of(tune_controller: Any) -> dict[Any, Any]:
    """Trials that have been given an actor, with its handle, or None until Ray has room for it."""
    there = tune_controller._actor_manager._live_actors_to_ray_actors_resources
    return {
        trial: there[actor][0] if actor in there else None
        for trial, actor in tune_controller._trial_to_actor.items()
    }


def actor_of(trial: Any) -> Any:
    """The handle of the actor that trains a trial; None if it has none."""
    return trial.temporary_state.ray_actor


def forget_statistics(trial: Any) -> None:
    """Empties what Tune keeps of a trial until the search ends: the last values, extremes and means
    of each number in its results, which nobody asks for."""
    trial.metric_analysis.clear()
    trial.metric_n_steps.clear()


def error_text(trial: Any) -> str | None:
    """What Tune wrote of a trial's error, without its first line, which is Tune's heading."""
    try:
        return Path(trial.error_file).read_text(encoding="utf-8").partition("\n")[2]
    except (OSError, TypeError):
        return None
