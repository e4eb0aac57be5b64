"""Is this machine, or this cluster, ready for a search? What to fix if not."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.cluster import connected
from search.driver import versions

LEAST_DISK = 2 * 10**9
LEAST_SHARED_MEMORY = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the doctor's: `fix` is None if all is well."""

    what: str
    fix: str | None = None


def examine(*, address: str | None, data: str | None) -> list[Finding]:
    """Looks at this machine and at every node of the cluster; starts Ray, so it takes seconds."""
    findings = [Finding(what=", ".join(f"{name} {v}" for name, v in versions().items()))]
    with connected(address):
        nodes = _ask_every_node(data)
    for node in nodes:
        findings += _node_findings(node, data)
    here = versions()
    for node in nodes:
        others = {n: v for n, v in node["versions"].items() if v != here.get(n)}
        if others:
            theirs = ", ".join(f"{n} {v} (here {here.get(n)})" for n, v in others.items())
            fix = "install the same versions on every node"
            findings.append(Finding(what=f"node {node['node']} has {theirs}", fix=fix))
    if data is not None and Path(data).is_dir():
        findings.append(Finding(what=f"data {data} is on this machine and travels to the workers"))
    elif data is not None and data != "digits":
        fix = "give a folder that exists here, or a name that timm.data.create_dataset takes"
        findings.append(Finding(what=f"data {data!r} is no folder on this machine", fix=fix))
    return findings


def _ask_every_node(data: str | None) -> list[dict[str, Any]]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0)(look)
    alive = [node for node in ray.nodes() if node["Alive"]]
    answers = []
    for node in alive:
        here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        answers.append(ask.options(scheduling_strategy=here).remote(node["NodeManagerAddress"]))
    found: list[dict[str, Any]] = ray.get(answers, timeout=120)
    for node, answer in zip(alive, found, strict=True):
        answer["resources"] = node["Resources"]
    return found


def look(node: str) -> dict[str, Any]:
    """What one node is: run there."""
    import torch

    folder = Path.home() if Path.home().is_dir() else Path("/")
    shared = shutil.disk_usage("/dev/shm").free if Path("/dev/shm").is_dir() else None
    return {
        "node": node,
        "versions": versions(),
        "cores": os.cpu_count(),
        "free_disk": shutil.disk_usage(folder).free,
        "free_shared_memory": shared,
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def _node_findings(node: dict[str, Any], data: str | None) -> list[Finding]:
    resources = node["resources"]
    cpus, gpus = resources.get("CPU", 0), resources.get("GPU", 0)
    devices = f"{len(node['gpus'])} GPUs ({', '.join(sorted(set(node['gpus'])))})"
    text = f"node {node['node']}: {cpus:g} CPUs for Ray of {node['cores']}, "
    text += devices if node["gpus"] else "no GPU"
    findings = [Finding(what=text)]
    if gpus and not node["gpus"]:
        fix = "install a torch build for this node's CUDA driver; see torch.cuda.is_available()"
        findings.append(Finding(what=f"Ray sees {gpus:g} GPUs there, torch none", fix=fix))
    gigabytes = node["free_disk"] / 1e9
    low = node["free_disk"] < LEAST_DISK
    fix = "free at least 2 GB for Ray's session and the run folder"
    findings.append(
        Finding(
            what=f"node {node['node']}: {gigabytes:.1f} GB of disk free", fix=fix if low else None
        )
    )
    shared = node["free_shared_memory"]
    if shared is not None and shared < LEAST_SHARED_MEMORY:
        fix = "give /dev/shm at least 1 GB (docker run --shm-size), or images travel by disk"
        findings.append(Finding(what=f"{shared / 1e9:.1f} GB of shared memory free", fix=fix))
    return findings
