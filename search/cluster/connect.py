"""The Ray cluster of a search: connecting to it, and how many trials it has room for."""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from results.words import counted
from search.cluster import quirks
from search.settings import SearchSettings
from space.rules import show
from trainers.machine import cores

LEAST_SESSION_BYTES = 5 * 10**6  # with less, workers may not start
KNOCK_SECONDS = 10.0
_WITHOUT = {"--address": "leave --address out", "RAY_ADDRESS": "unset RAY_ADDRESS"}


def trial_resources(settings: SearchSettings) -> dict[str, float]:
    """What Ray reserves for one trial."""
    import ray

    gpus = settings.gpus_per_trial
    if gpus is None:
        gpus = 1.0 if ray.cluster_resources().get("GPU", 0) else 0.0
    return {"cpu": settings.cpus_per_trial, "gpu": gpus}


def workers(settings: SearchSettings) -> int:
    """How many trials run at a time: as asked, else as many as the cluster has room for now.
    Raises OSError where its head does not answer: Ray would wait for it until it ends the process.
    """
    import ray

    if settings.workers is None:
        knock(ray.get_runtime_context().gcs_address)
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


def refuse_shadows() -> None:
    """Raises ValueError if Ray's workers, which look into the current folder first, would import a
    file or a package of the user's there for one of these packages."""
    ours = Path(__file__).parent.parent.parent
    for name in ("search", "space", "trainers", "results"):
        package = Path(name, "__init__.py")
        of_the_users = package.is_file() and not package.samefile(ours / package)
        if Path(f"{name}.py").is_file() or of_the_users:
            there = f"{name}/" if of_the_users else f"{name}.py"
            raise ValueError(
                f"The current folder must not hold {there}: Ray's workers would take it for the "
                f"package {name!r} of vit-frontier. Rename it, or search from another folder."
            )


def refuse_ray_client(address: str | None, *, by: str = "--address") -> None:
    """Raises ValueError for ray://, which reaches a cluster through a proxy: Tune then has no node
    of Ray on this machine to run on."""
    if address is not None and address.lower().startswith("ray://"):
        raise ValueError(
            f"`{by}` (={show(address)}) must be auto or host:port: Ray Tune does not run "
            "through Ray Client: start the search on a machine of the cluster with --address "
            "host:port, or send it there by `ray job submit --working-dir . -- python -m search "
            "search ...`."
        )


@contextlib.contextmanager
def connected(address: str | None, *, least_cpus: int = 1) -> Iterator[None]:
    """Ray, on the cluster at `address` or RAY_ADDRESS; without one, or for "local", on this machine
    with at least `least_cpus`. Raises ValueError if no cluster answers there."""
    for name, value in quirks.ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    quirks.silence()
    on_sigterm = quirks.keep_sigterm()
    given, address = address, address or os.environ.get("RAY_ADDRESS")
    refuse_ray_client(address, by=option_of(given))
    if ray.is_initialized():
        yield
        return
    if address and address != "local":
        _join(address, by=option_of(given))
    else:
        _start(least_cpus)
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


def option_of(given: str | None) -> str:
    """Who gave the address of the cluster: the option, else the variable that stands in for it."""
    return "--address" if given else "RAY_ADDRESS"


def _join(address: str, *, by: str) -> None:
    import ray

    if "://" in address:
        raise ValueError(
            f"`{by}` (={show(address)}) must be auto or host:port, the port of the head (6379 if "
            "`ray start --head` chose it), but is a URL: http:// is that of the dashboard."
        )
    try:
        knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ValueError(_explain_connection(address, error, by=by)) from None


def _start(least_cpus: int) -> None:
    import ray

    _make_session_folder_usable()
    if (few := few_bytes_for_ray()) is not None:  # Ray itself would try for minutes
        raise ValueError(f"Ray must be able to start on this machine, but: {few}")
    try:
        with quirks.patience_with_the_raylet():
            ray.init(
                address="local",
                num_cpus=max(cores(), least_cpus),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except Exception as error:  # Ray raises that very class
        why = _explain_start(error)
        ray.shutdown()  # which may free the disk
        raise ValueError(why) from None


def knock(address: str, seconds: float = KNOCK_SECONDS) -> None:
    """Raises OSError if nothing listens at host:port; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=seconds).close()


def _explain_start(error: Exception) -> str:
    reason = " ".join(str(error).split())[:300]
    if (few := few_bytes_for_ray()) is not None:
        reason = few
    elif quirks.TOO_LONG.text in reason:
        reason = (
            f"the name of {str(_session_folder())!r}, where it keeps its session, is too long for "
            "its sockets: set RAY_TMPDIR to a folder with a short name, such as /tmp"
        )
    elif (limit := _address_space()) is not None:
        reason = (
            f"its processes reserve more than the {limit / 1e9:.1f} GB that a limit of this shell "
            f"leaves each (`ulimit -v`): lift it by `ulimit -v unlimited` ({reason})"
        )
    elif quirks.TOO_SLOW.text in reason:
        load = f"{os.getloadavg()[0]:.0f} processes want its {counted(os.cpu_count() or 1, 'core')}"
        reason = f"it took too long ({load}): try again when the machine is less busy"
    return f"Ray must be able to start on this machine, but: {reason}"


def _address_space() -> int | None:
    """Bytes that a process may reserve at most; None without a limit."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _session_folder() -> Path:
    return Path(os.environ.get(_session_variable()) or "/tmp")


def _session_variable() -> str:
    """The variable that says where Ray keeps its session, set or not."""
    return (
        "TMPDIR" if os.environ.get("TMPDIR") and not os.environ.get("RAY_TMPDIR") else "RAY_TMPDIR"
    )


def _make_session_folder_usable() -> None:
    """Has Ray keep its session where it was told to: of a relative name it makes none. Raises
    ValueError if the name is not ASCII, which its processes do not take."""
    name = _session_variable()
    folder = os.path.abspath(_session_folder())
    if not folder.isascii():
        raise ValueError(
            f"`{name}` (={folder!r}), where Ray keeps its session, must be ASCII: set RAY_TMPDIR "
            "to a folder with such a name, like /tmp."
        )
    if os.environ.get(name):
        os.environ[name] = folder


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


def _explain_connection(address: str, error: Exception, *, by: str) -> str:
    """What to do when a cluster does not answer."""
    text = " ".join(str(error).split())
    # Something listens there, and Ray does not say why it may not connect.
    refused = text.startswith(quirks.REFUSED.text)
    if refused or "token" in text.lower() or "auth" in text.lower():
        other = " If the token is right, see that the port is the head's." if refused else ""
        return (
            f"The Ray cluster at {address!r} asks for a token: set RAY_AUTH_MODE=token and give "
            "the cluster's token by RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token."
            f"{other}"
        )
    return (
        f"`{by}` (={address!r}) must be a Ray cluster that answers, but: {text[:300]} Start one by "
        f"`ray start --head`, or {_WITHOUT[by]} to use this machine."
    )
