"""How much of this machine is ours: CPU cores and memory, as a container's quota leaves them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def cores(root: Path = ROOT) -> int:
    """CPU cores that this process may use, a started one of a container's quota left out."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = min(_cpu_quotas(root), default=math.inf)
    return max(1, min(allowed or 1, int(min(quota, 1e6))))


def memory_bytes(root: Path = ROOT) -> int:
    """Bytes of memory that this process may use: the machine's, or a container's limit."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    words = _words(root, "memory", ("memory.max", "memory.limit_in_bytes"))
    return min([there, *(int(word) for (word, *_) in words if word.isdecimal())])


def _cpu_quotas(root: Path) -> Iterator[float]:
    """Cores that each group of this process may use at most."""
    for quota, period, *_ in _words(root, "cpu", ("cpu.max",)):  # version 2
        if quota.isdecimal() and period.isdecimal():
            yield int(quota) / int(period)
    quotas = _words(root, "cpu", ("cpu.cfs_quota_us",))
    for (quota, *_), (period, *_) in zip(
        quotas, _words(root, "cpu", ("cpu.cfs_period_us",)), strict=False
    ):
        if quota.isdecimal() and int(quota) > 0:  # -1: none
            yield int(quota) / int(period)


def _words(root: Path, controller: str, names: tuple[str, ...]) -> Iterator[list[str]]:
    """What the files of these names hold, in the groups of this process and all above them."""
    for folder in _groups(root, controller):
        for name in names:
            try:
                words = (folder / name).read_text().split()
            except OSError:
                continue
            if words:
                yield words


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of control groups, of both versions. A container may see its own as the topmost."""
    mounts = [root / "sys/fs/cgroup", root / "sys/fs/cgroup" / controller]
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    found: dict[Path, None] = dict.fromkeys(mounts)
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        folder = mounts[bool(controllers)] / path.lstrip("/")
        found |= dict.fromkeys([folder, *folder.parents][: len(Path(path).parts)])
    return iter(found)
