"""Machines to probe: directories that look like the /proc and /sys of another one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

UNIFIED_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate"
PROC_CGROUPS = """\
#subsys_name\thierarchy\tnum_cgroups\tenabled
cpuset\t0\t1\t1
cpu\t0\t1\t1
blkio\t0\t1\t1
memory\t0\t1\t{memory}
pids\t0\t1\t1
freezer\t0\t1\t1
"""


def machine(root: Path, files: Mapping[str, str]) -> Path:
    """Write files below a root directory, and what every machine has."""
    common = {
        "proc/cgroups": PROC_CGROUPS.format(memory=1),
        "proc/self/cgroup": "",
        "proc/self/mountinfo": "",
        "proc/self/status": "CapEff:\t0000000000000000\nNoNewPrivs:\t0\n",
        "proc/sys/kernel/osrelease": "6.1.0-9-amd64\n",
    }
    for name, text in {**common, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def unified(root: Path, own: str, controllers: str, **files: str) -> Path:
    """cgroup v2 alone, with this process in its own cgroup."""
    group = f"sys/fs/cgroup{own}".rstrip("/")
    return machine(
        root,
        {
            "proc/self/mountinfo": UNIFIED_MOUNT + "\n",
            "proc/self/cgroup": f"0::{own}\n",
            "sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n",
            "sys/fs/cgroup/cgroup.procs": "1\n",
            f"{group}/cgroup.controllers": controllers + "\n",
            f"{group}/cgroup.procs": "4711\n",
            f"{group}/cgroup.type": "domain\n",
            **files,
        },
    )


def version_1(root: Path, *, beside_unified: bool) -> Path:
    """cgroup v1: two controllers in one tree, memory in another, perhaps v2 beside."""
    mounts = [
        "31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
        "32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
        "33 30 0:29 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio",
        "36 30 0:32 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer",
        "34 30 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd",
    ]
    groups = [
        "4:memory:/ours",
        "3:cpu,cpuacct:/",
        "2:blkio:/",
        "5:freezer:/",
        "1:name=systemd:/",
    ]
    files = {}
    if beside_unified:
        mounts.append("35 30 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw")
        groups.append("0::/")
        files["sys/fs/cgroup/unified/cgroup.controllers"] = "pids\n"
        files["sys/fs/cgroup/unified/cgroup.procs"] = "1\n"
    for name in ("cpu,cpuacct", "memory", "memory/ours", "blkio", "freezer", "systemd"):
        files[f"sys/fs/cgroup/{name}/cgroup.procs"] = "1\n"
    files["proc/self/mountinfo"] = "\n".join(mounts) + "\n"
    files["proc/self/cgroup"] = "\n".join(groups) + "\n"
    return machine(root, files)
