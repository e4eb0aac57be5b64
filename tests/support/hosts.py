"""Hosts for the cluster tests: Linux namespaces joined by a bridge, a raylet in each.

A host has its own network, processes, host name, /tmp, /dev/shm and home, so that hosts share no
folder but the installed software. Killing a host is SIGKILL for all its processes at once.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SUPPORT = str(Path(__file__).parent)
PORT = 46001
TOKEN = "a-token-of-the-cluster-tests"
NAMESPACES = ("--net", "--mount", "--pid", "--uts")
# An init that reaps what daemons leave; the mounts are seen in this namespace only.
INIT = """
mount -t tmpfs none /tmp && mount -t tmpfs none /dev/shm && mkdir /tmp/home && hostname {name} &&
ip link set lo up && echo ready && sleep infinity & wait
"""


def why_not():
    """Why this machine cannot make hosts; `None` if it can."""
    tools = [tool for tool in ("unshare", "nsenter", "ip") if shutil.which(tool) is None]
    if tools:
        return f"needs {', '.join(tools)}"
    made = subprocess.run(
        ["unshare", *NAMESPACES, "--fork", "ip", "link", "add", "vf0", "type", "bridge"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return f"may not make namespaces: {made.stderr.strip()}" if made.returncode else None


class Host:
    """One machine: `address` in the network of its `switch`."""

    def __init__(self, switch, number):
        self.name, self.address = f"vf{number}", f"10.77.0.{number}"
        self._switch, self._link = switch, f"vf{number}"
        self._holder, self.pid = hold(*NAMESPACES, "--mount-proc", init=INIT.format(name=self.name))
        link = ("link", "add", self._link, "type", "veth", "peer", "name", "eth0")
        ip_inside(switch, *link, "netns", str(self.pid))
        ip_inside(switch, "link", "set", self._link, "master", "bridge", "up")
        ip_inside(self.pid, "addr", "add", f"{self.address}/24", "dev", "eth0")
        ip_inside(self.pid, "link", "set", "eth0", "up")

    def start(self, *words, log, **variables):
        """A process on this host, its output in `log`; `variables` of its environment that are
        `None` are left out."""
        environment = {
            **os.environ, "HOME": "/tmp/home", "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN, "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", **variables,
        }  # fmt: skip
        with Path(log).open("a") as stream:
            return subprocess.Popen(
                ["nsenter", f"--target={self.pid}", *NAMESPACES, f"--wdns={ROOT}",
                 *map(str, words)],
                stdout=stream, stderr=stream, stdin=subprocess.DEVNULL,
                env={name: value for name, value in environment.items() if value is not None},
            )  # fmt: skip

    def start_ray(self, *words, log, **variables):
        """A raylet with one CPU: `--head`, or `--address=...`."""
        return self.start(
            sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *words,
            f"--node-ip-address={self.address}", "--num-cpus=1", "--object-store-memory=100000000",
            "--disable-usage-stats", log=log, **variables,
        )  # fmt: skip

    def folder(self, path):
        """A folder of this host as the test sees it, while the host lives."""
        return Path(f"/proc/{self.pid}/root{path}")

    def unplug(self):
        """Pulls the network cable: packets vanish, nothing is closed."""
        ip_inside(self._switch, "link", "set", self._link, "down")

    def plug(self):
        """Puts the cable back."""
        ip_inside(self._switch, "link", "set", self._link, "up")

    def kill(self):
        self._holder.kill()
        self._holder.wait()
        while Path(f"/proc/{self.pid}").exists():
            time.sleep(0.05)


class Hosts:
    """A switch and the hosts on it."""

    def __init__(self):
        self._holder, self._switch = hold(
            "--net", "--pid", init="echo ready && sleep infinity & wait"
        )
        ip_inside(self._switch, "link", "add", "bridge", "type", "bridge")
        ip_inside(self._switch, "link", "set", "bridge", "up")
        self._made = []

    def add(self):
        self._made.append(Host(self._switch, len(self._made) + 1))
        return self._made[-1]

    def close(self):
        for host in self._made:
            host.kill()
        self._holder.kill()
        self._holder.wait()


def hold(*namespaces, init):
    """A process that keeps new namespaces alive, and the id of the first process in them."""
    holder = subprocess.Popen(
        ["unshare", *namespaces, "--fork", "--kill-child", "bash", "-c", init],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    if holder.stdout.readline() != "ready\n":
        holder.kill()
        raise OSError(holder.stderr.read())
    children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text()
    return holder, int(children.split()[0])


def ip_inside(pid, *words):
    subprocess.run(["nsenter", f"--target={pid}", "--net", "ip", *words], check=True)


def wait_until(true, seconds, explain, process=None):
    """Waits at most `seconds` for `true()`, while `process` lives; else fails with `explain()`."""
    deadline = time.monotonic() + seconds
    while not true():
        assert process is None or process.poll() is None, explain()
        assert time.monotonic() < deadline, explain()
        time.sleep(0.2)
