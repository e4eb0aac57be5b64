"""Cores and memory in containers of both versions of control groups, as files that were seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trainers.machine import cores, memory_bytes

ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
GB = 10**9
V1 = "4:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab\n1:name=systemd:/docker/ab\n"
V1_ONE = {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    for name, text in {"../../../proc/self/cgroup": groups, **files}.items():
        path = root / "sys/fs/cgroup" / name
        (root / "sys/fs/cgroup").mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        (V1, V1_ONE),  # the container's own group is the topmost that it sees
        (V1, {f"cpu/docker/ab/{name[4:]}": text for name, text in V1_ONE.items()}),
        ("0::/\n", {"cpu.max": "100000 100000\n"}),
        ("0::/\n", {"cpu.max": "50000 100000\n"}),  # half a core is one
        ("0::/kube/pod/c1\n", {"kube/pod/c1/cpu.max": "max 100000\n", "kube/cpu.max": "1000 1000"}),
    ],
)
def test_a_quota_of_one_core_is_kept(tmp_path: Path, groups: str, files: dict[str, str]) -> None:
    assert cores(machine(tmp_path, groups, files)) == 1


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        (V1, {**V1_ONE, "cpu/cpu.cfs_quota_us": "-1\n"}),
        ("0::/\n", {"cpu.max": "max 100000\n"}),
        ("0::/\n", {"cpu.max": "99900000 100000\n"}),
        ("0::/\n", {"cpu.max": "\n"}),
        ("0::/a\n", {"b/cpu.max": "100000 100000\n"}),  # of others
    ],
)
def test_without_a_quota_all_cores_are_there(
    tmp_path: Path, groups: str, files: dict[str, str]
) -> None:
    assert cores(machine(tmp_path, groups, files)) == ALL
    assert cores(tmp_path / "no files of the kind") == ALL


def test_the_limit_of_memory_is_kept(tmp_path: Path) -> None:
    one = machine(tmp_path / "1", V1, {"memory/memory.limit_in_bytes": f"{GB}\n"})
    two = machine(tmp_path / "2", "0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": f"{GB}"})
    none = machine(tmp_path / "3", "0::/\n", {"memory.max": "max\n"})
    assert memory_bytes(one) == memory_bytes(two) == GB
    assert memory_bytes(none) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
