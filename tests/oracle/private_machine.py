"""A private machine for somebody else's container engine: what it leaves goes with it.

It is this machine with namespaces of its own: its cgroups lie below one group of ours,
which it sees as the root; its mounts, processes and network end with it. podman keeps
state in /run and makes cgroups beside those of the whole machine; crun refuses a
hierarchy of both versions, which a fresh mount of the controllers is not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from labkit.linux import proc

_KINDS = ("-C", "-m", "-p", "-f", "-i", "-u", "-n")
# In the new namespaces, before the command: what it sees is mounted anew.
_PROLOGUE = """
set -e
mount -t proc proc /proc
ip link set lo up 2>/dev/null || true
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/lock /run/groups
if test -f /sys/fs/cgroup/cgroup.controllers; then
    mount -t cgroup2 cgroup2 /run/groups
else
    mount -t tmpfs -o mode=755 groups /run/groups
    cut -d: -f2 /proc/self/cgroup | grep -v -e '^$' -e name= | while read -r c; do
        mkdir -p /run/groups/$c
        mount -t cgroup -o $c cgroup /run/groups/$c
    done
fi
mount --move /run/groups /sys/fs/cgroup
for d in /etc/containers/networks /var/lib/containers; do
    if test -d $d; then mount -t tmpfs -o mode=755 private $d; fi
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts /dev/pts
mount --bind /dev/pts/ptmx /dev/ptmx
"$@"
"""


def run(argv: Sequence[str], env: Mapping[str, str], timeout_s: float) -> None:
    """Run a command on a private machine; raise when it fails."""
    with _groups(f"labkit-oracle-{os.getpid()}") as groups:
        join = "".join(f"echo $$ >{group}/cgroup.procs; " for group in groups)
        inner = ["unshare", *_KINDS, "--kill-child=KILL", "--propagation", "private"]
        line = ["sh", "-c", f'{join} exec "$@"', "sh", *inner]
        line += ["sh", "-c", _PROLOGUE, "sh", *argv]
        subprocess.run(line, env=dict(env), check=True, timeout=timeout_s)


@contextmanager
def _groups(name: str) -> Iterator[list[Path]]:
    groups = [top / name for top in _tops()]
    try:
        for group in groups:
            group.mkdir()
            _fill_cpuset(group)
        yield groups
    finally:
        for group in groups:
            _remove(group)


def _tops() -> list[Path]:
    ours = proc.cgroups_of()
    mounts = [m for m in proc.mounts() if m.fstype in ("cgroup", "cgroup2")]
    # Only where this process sees the root of the hierarchy, each once.
    found = {m.target for m in mounts if not m.target.startswith("/run/")}
    return sorted(Path(target) for target in found if ours)


def _fill_cpuset(group: Path) -> None:
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (group / name).exists() and not (group / "cgroup.controllers").exists():
            (group / name).write_text((group.parent / name).read_text())


def _remove(group: Path) -> None:
    deadline = time.monotonic() + 10
    while group.exists() and time.monotonic() < deadline:
        for below in sorted(group.rglob("*"), reverse=True):
            if below.is_dir():
                _end(below)
        _end(group)
        time.sleep(0.05)


def _end(group: Path) -> None:
    # A frozen process of cgroup version 1 can't end: thaw it first.
    try:
        if (group / "freezer.state").exists():
            (group / "freezer.state").write_text("THAWED")
        for pid in (group / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        group.rmdir()
    except OSError:
        return  # busy for a moment, or gone: the caller looks again
