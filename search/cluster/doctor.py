"""Is this machine, or this cluster, ready for a search? What to fix if not."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.cluster import quirks
from search.cluster.connect import connected
from search.cluster.nodes import ask_nodes
from search.private_names import span
from search.study import quirks as optuna_quirks
from search.study.description import versions
from trainers.errors import DataError
from trainers.images.folder import read_folder
from trainers.images.load import TIMM_PREFIXES

LEAST_DISK = 2 * 10**9
LEAST_SHARED_MEMORY = 10**9
OTHER_RAY = f"install ray {span(quirks.TRIED)} where a search does not work"
OTHER_OPTUNA = f"install optuna {span(optuna_quirks.TRIED)} where a search does not work"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the doctor's: `fix` is None if all is well."""

    what: str
    fix: str | None = None


def examine(*, address: str | None, data: str | None) -> list[Finding]:
    """Looks at this machine and at every node of the cluster; starts Ray, so it takes seconds."""
    findings = _look_at_versions()
    with connected(address):
        nodes = _ask_every_node()
    for node in nodes:
        findings += _node_findings(node)
    if data is not None and Path(data).is_dir():
        findings.append(_look_at_folder(data))
    elif data is not None and data.partition("/")[0].lower() in TIMM_PREFIXES:
        findings.append(Finding(what=f"data {data} is a dataset that timm opens; not tried here"))
    elif data is not None and data != "digits":
        fix = "give a folder that exists here, or a name that timm.data.create_dataset takes"
        findings.append(Finding(what=f"data {data!r} is no folder on this machine", fix=fix))
    return findings


def _look_at_versions() -> list[Finding]:
    findings = [Finding(what=", ".join(f"{name} {v}" for name, v in versions().items()))]
    findings += [Finding(what=unknown, fix=OTHER_RAY) for unknown in quirks.check()]
    findings += [Finding(what=unknown, fix=OTHER_OPTUNA) for unknown in optuna_quirks.check()]
    return findings


def _look_at_folder(data: str) -> Finding:
    try:
        found = read_folder(data)
    except DataError as error:
        return Finding(what=f"data {data} cannot be searched on", fix=str(error))
    images = f"{len(found.paths):,} images of {len(found.class_names)} classes"
    return Finding(what=f"data {data}: {images}, on this machine; they travel to the workers")


def _ask_every_node() -> list[dict[str, Any]]:
    """What `look` finds on each living node, or an `error`, and its resources."""
    import ray

    found = []
    for node, answer in ask_nodes(look, nodes=[node for node in ray.nodes() if node["Alive"]]):
        seen = answer
        if isinstance(answer, Exception):
            seen = {"error": (str(answer).strip() or "no answer").splitlines()[-1]}
        found.append({"node": node["NodeManagerAddress"], "resources": node["Resources"], **seen})
    return found


def look() -> dict[str, Any]:
    """What one node is: run there."""
    found = versions()
    gpus = []
    if found["torch"] != "not installed":
        import torch

        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    # Ray's session and spilled images lie in the one, decoded images in the other.
    folders = [Path(tempfile.gettempdir()), Path.home() if Path.home().is_dir() else Path("/")]
    disk, folder = min((shutil.disk_usage(folder).free, str(folder)) for folder in folders)
    shared = shutil.disk_usage("/dev/shm").free if Path("/dev/shm").is_dir() else None
    return {
        "versions": found,
        "cores": os.cpu_count(),
        "free_disk": disk,
        "folder": folder,
        "free_shared_memory": shared,
        "gpus": gpus,
    }


def _node_findings(node: dict[str, Any]) -> list[Finding]:
    name = f"node {node['node']}"
    if "error" in node:
        fix = "install vit-frontier and its packages there, and see that Ray can start workers"
        return [Finding(what=f"{name} cannot run a task: {node['error']}", fix=fix)]
    cpus, gpus = node["resources"].get("CPU", 0), node["resources"].get("GPU", 0)
    devices = f"{len(node['gpus'])} GPUs ({', '.join(sorted(set(node['gpus'])))})"
    text = f"{name}: {cpus:g} CPUs for Ray of {node['cores']}, "
    findings = [Finding(what=text + (devices if node["gpus"] else "no GPU"))]
    if gpus and not node["gpus"]:
        fix = "install a torch build for this node's CUDA driver; see torch.cuda.is_available()"
        findings.append(Finding(what=f"{name}: Ray sees {gpus:g} GPUs, torch none", fix=fix))
    here = versions()
    others = {n: v for n, v in node["versions"].items() if v != here.get(n)}
    theirs = ", ".join(f"{n} {v} (here {here.get(n)})" for n, v in others.items())
    findings.append(
        Finding(what=f"{name} has {theirs}", fix="install the same versions on every node")
        if others
        else Finding(what=f"{name} has the same versions")
    )
    low = node["free_disk"] < LEAST_DISK
    fix = "free at least 2 GB for Ray's session and the run folder"
    text = f"{name}: {node['free_disk'] / 1e9:.1f} GB of disk free in {node['folder']}"
    findings.append(Finding(what=text, fix=fix if low else None))
    shared = node["free_shared_memory"]
    if shared is not None and shared < LEAST_SHARED_MEMORY:
        fix = "give /dev/shm at least 1 GB (docker run --shm-size), or images travel by disk"
        text = f"{name}: {shared / 1e9:.1f} GB of shared memory free"
        findings.append(Finding(what=text, fix=fix))
    return findings
