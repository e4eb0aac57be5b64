"""The Ray cluster of a search: connecting to it, and how many trials it has room for."""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import os
import socket
from collections.abc import Iterator

from search.settings import SearchSettings

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
}
KNOCK_SECONDS = 10.0


def trial_resources(settings: SearchSettings) -> dict[str, float]:
    """What Ray reserves for one trial."""
    import ray

    gpus = settings.gpus_per_trial
    if gpus is None:
        gpus = 1.0 if ray.cluster_resources().get("GPU", 0) else 0.0
    return {"cpu": settings.cpus_per_trial, "gpu": gpus}


def workers(settings: SearchSettings) -> int:
    """How many trials run at a time: as asked, else as many as the cluster has room for now."""
    import ray

    if settings.workers is not None:
        return settings.workers
    have, need = ray.cluster_resources(), trial_resources(settings)
    rooms = [
        have.get(name, 0.0) / need[key]
        for key, name in (("cpu", "CPU"), ("gpu", "GPU"))
        if need[key] > 0
    ]
    return max(1, math.floor(min(rooms) + 1e-9))


@contextlib.contextmanager
def connected(address: str | None, *, least_cpus: int = 1) -> Iterator[None]:
    """Ray, on the cluster at `address` or RAY_ADDRESS, else on this machine with at least
    `least_cpus`. Raises ValueError if no cluster answers there."""
    for name, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    _silence_ray()
    address = address or os.environ.get("RAY_ADDRESS")
    if ray.is_initialized():
        yield
        return
    if address:
        try:
            _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ray.exceptions.RaySystemError) as error:
            raise ValueError(_explain_connection(address, error)) from None
    else:
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ray.init(
            address="local",
            num_cpus=max(cpus or 1, least_cpus),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
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


def _silence_ray() -> None:
    """Ray's words about workers go to its log files; ours are in the records."""
    import ray._private.worker

    for name in ("ray", "ray.tune", "ray.tune.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # What raylets report of dead workers is printed to stdout, and no setting turns that off.
    ray._private.worker.print_to_stdstream = lambda *data, **options: None


def _knock(address: str) -> None:
    """Raises OSError if nothing listens at host:port; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()


def _explain_connection(address: str, error: Exception) -> str:
    """What to do when a cluster does not answer."""
    text = " ".join(str(error).split())
    if "token" in text.lower() or "auth" in text.lower():
        return (
            f"The Ray cluster at {address!r} asks for a token: set RAY_AUTH_MODE=token and give "
            "the cluster's token by RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token."
        )
    return (
        f"`--address` (={address!r}) must be a Ray cluster that answers, but: {text[:300]} Start "
        "one by `ray start --head`, or leave --address out to use this machine."
    )
