"""What a disk holds after its power was cut, by the calls that `faults.c` has written down.

The strictest file system: data are there once their file was synced, names once their folder was.
And a lax one: names at once. What was promised by then (`faults_note`) must be there in both.
"""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Call:
    """One call: C made, T cut to `offset`, W written, S synced, R renamed to `other`, U removed, M
    folder made, L locked, A promised `other`."""

    kind: str
    offset: int
    path: str
    other: str
    data: bytes


@dataclass
class File:
    now: bytes = b""
    synced: bytes = b""


def read_calls(record):
    """The calls, in order."""
    with Path(record).open("rb") as file:
        while line := file.readline():
            kind, offset, size, path, other = line.decode().rstrip("\n").split("\t")
            yield Call(kind, int(offset), path, other, file.read(int(size)))


class Disk:
    """Files and folders (None) by path, as programs see them and as they are after a cut."""

    def __init__(self, root):
        self.now = {str(root): None}
        self.named = {str(root): None}  # synced names
        self.promised = {}

    def do(self, call):
        """Follows one call."""
        path = call.path
        if call.kind in "CTW" and not self._known(path):
            self.now[path] = File()
        if call.kind == "W":
            file = self.now[path]
            before = file.now.ljust(call.offset, b"\0")
            file.now = before[: call.offset] + call.data + before[call.offset + len(call.data) :]
        elif call.kind == "T":
            file = self.now[path]
            file.now = file.now[: call.offset].ljust(call.offset, b"\0")
        elif call.kind == "S":
            self._sync(path)
        elif call.kind == "R":
            for name in [n for n in self.now if n == path or n.startswith(path + "/")]:
                self.now[call.other + name[len(path) :]] = self.now.pop(name)
        elif call.kind == "U":
            self.now.pop(path, None)
        elif call.kind == "M":
            self.now[path] = None
        elif call.kind == "A":
            trial, accuracy = json.loads(call.other)
            self.promised[trial] = accuracy

    def _known(self, path):
        return path in self.now and self.now[path] is not None

    def _sync(self, path):
        if self._known(path):
            self.now[path].synced = self.now[path].now
            return

        def beside(names):
            return {n for n in names if str(Path(n).parent) == path}

        for name in beside(self.named) - beside(self.now):
            del self.named[name]
        for name in beside(self.now):
            self.named[name] = self.now[name]

    def write(self, root, to, *, strict):
        """Writes what is below `root` after a cut into the folder `to`."""
        names = self.named if strict else self.now
        to.mkdir(parents=True, exist_ok=True)
        for name in sorted(names):
            if not name.startswith(f"{root}/"):
                continue
            above = [str(p) for p in Path(name).parents if str(p).startswith(str(root))]
            if any(p not in names for p in above):  # the name of a folder above was lost
                continue
            path, file = to / name[len(str(root)) + 1 :], names[name]
            if file is None:
                path.mkdir(exist_ok=True)
            else:
                path.write_bytes(file.synced)
