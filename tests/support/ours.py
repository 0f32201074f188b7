"""What is ours on this machine now, read from Linux itself and not from the lab.

A thing is ours when its name has the lab's prefix, when it lies in the run's private
state, or when the run started it. Each is one line of text; two readings subtract.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from tests.support.private_state import MARK, PRIVATE_PREFIX, mounts

PREFIX = "labkit"
# Set in a run beside which another one is at work on this machine. A process can be
# told by its run's mark; cgroups, mounts, links and directories can't, so they are left
# to the last look, when both runs have ended.
BESIDE = "LABKIT_TEST_BESIDE"
# Below /sys/fs/cgroup, a user's own cgroup on a systemd machine lies six deep.
CGROUP_DEPTH = 9
PLACES = ("/tmp", "/var/tmp", "/var/lib", "/run", "/dev/shm")


def ours() -> frozenset[str]:
    """Return a line for each mount, cgroup, process, link and directory of ours."""
    if BESIDE in os.environ:
        return frozenset(_processes())
    cgroup_lines = (f"cgroup {path}" for path in cgroups())
    lines = chain(
        _mounts(), cgroup_lines, _processes(), _links(), _rules(), _directories()
    )
    return frozenset(line for line in lines if not _is_in_another_runs_state(line))


def hierarchies() -> list[str]:
    """Return where each cgroup hierarchy is mounted."""
    points = {point for point, fstype in mounts() if fstype in ("cgroup", "cgroup2")}
    return sorted(points)


def cgroups() -> Iterator[str]:
    """Yield the path of each cgroup of ours, in every hierarchy."""
    for top in hierarchies():
        for path, directories, _ in os.walk(top):
            if path.count("/") - top.count("/") >= CGROUP_DEPTH:
                directories.clear()
            if PREFIX in path.removeprefix(top):
                yield path


def _groups(pid: int) -> Iterator[tuple[str, str]]:
    # cgroups(7): a tree's number, its controllers or its name, and where a process is.
    # Linux keeps a tree that nobody has mounted, and in whose root every process is, as
    # long as anything remembers its last group; that ends by itself, or with the VM.
    for line in _read(pid, "cgroup").splitlines():
        _, tree, path = line.split(":", 2)
        yield tree, path


def _mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if PREFIX in line:
            yield f"mount {line.split()[4]}"


def _processes() -> Iterator[str]:
    parents = {
        pid: _parent(pid) for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
    }
    for pid in parents.keys() - _line_of(os.getpid(), parents):
        family = os.getpid() in _line_of(pid, parents)
        if family or (_looks_ours(pid) and not _is_another_runs(pid)):
            yield f"process {pid}: {_command(pid)}"


def _links() -> Iterator[str]:
    for _, name in socket.if_nameindex():
        if name.startswith(PREFIX):
            yield f"link {name}"


def _rules() -> Iterator[str]:
    if nft := shutil.which("nft", path="/usr/sbin:/usr/bin:/sbin:/bin"):
        said = subprocess.run([nft, "list", "tables"], capture_output=True, text=True)
        for line in said.stdout.splitlines():
            if PREFIX in line:
                yield f"rules {line}"


def _directories() -> Iterator[str]:
    for place in filter(os.path.isdir, PLACES):
        for name in os.listdir(place):
            if name.startswith(PREFIX) and os.path.isdir(f"{place}/{name}"):
                yield f"directory {place}/{name}"


def _is_in_another_runs_state(line: str) -> bool:
    state = os.environ.get("LABKIT_STATE", PRIVATE_PREFIX)
    return PRIVATE_PREFIX in line and os.path.dirname(state) not in line


def _is_another_runs(pid: int) -> bool:
    marks = re.findall(rf"{MARK}=(\w+)", _read(pid, "environ"))
    return bool(marks) and os.environ.get(MARK) not in marks


def _looks_ours(pid: int) -> bool:
    # A program has the mark in its environment. A forked copy of this Python hasn't,
    # because /proc shows the environment that a program began with; but it lies at the
    # same random addresses. A container may have neither: its cgroup or mounts tell.
    mark = f"{MARK}={os.environ.get(MARK)}"
    return (
        mark in _read(pid, "environ").split("\0")
        or _read(pid, "auxv") == _read(os.getpid(), "auxv")
        or (BESIDE not in os.environ and _is_in_a_group_of_ours(pid))
        or (_mount_namespace(pid) != _mount_namespace(os.getpid())
            and os.environ.get("LABKIT_STATE", PREFIX) in _read(pid, "mountinfo"))
    )  # fmt: skip


def _is_in_a_group_of_ours(pid: int) -> bool:
    return any(PREFIX in path for _, path in _groups(pid))


def _line_of(pid: int, parents: dict[int, int]) -> set[int]:
    line = set()
    while pid in parents:
        line.add(pid)
        pid = parents[pid]
    return line


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return int(fields[1]) if fields else 0


def _command(pid: int) -> str:
    return _read(pid, "cmdline").replace("\0", " ").strip() or _read(pid, "comm")


def _mount_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return ""


def _read(pid: int, name: str) -> str:
    # A process can end between the listing and the reading, or be another user's.
    try:
        return Path(f"/proc/{pid}/{name}").read_text("latin-1")
    except OSError:
        return ""


if __name__ == "__main__":
    print(*sorted(ours()), sep="\n")
