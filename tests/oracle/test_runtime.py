"""The same bundle run by another runtime: the process and its mounts are the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.host import Host
from labkit.primitives.capabilities import DOCKER
from labkit.runtime.spec.docker_seccomp import docker_seccomp
from tests.kernel.bundles import Bundle, make_bundle
from tests.support.skips import need

STATUS = (
    "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "Umask", "CapInh", "CapPrm",
    "CapEff", "CapBnd", "CapAmb",
)  # fmt: skip
HIDDEN = (
    "/proc/acpi", "/proc/keys", "/proc/timer_list", "/proc/kcore", "/sys/firmware",
    "/proc/scsi", "/proc/sched_debug", "/proc/asound",
)  # fmt: skip
ONLY_THEIRS = "/proc/kcore"  # the target of a link, /dev/core, that few programs know
WORDS = """
cat /proc/self/status | sed 's/^/status /'
cat /proc/self/mountinfo | sed 's/^/mount /'
cat /proc/self/limits | sed 's/^/limit /'
env | sort | sed 's/^/env /'
ls -l /dev | sed 's/^/dev /'
pwd; hostname; id
"""


@pytest.fixture(params=["runc", "crun"])
def peer(request: pytest.FixtureRequest) -> str:
    """Another runtime, if it is installed."""
    path = shutil.which(request.param)
    need(request.param, path, "it isn't installed")
    return str(path)


@pytest.fixture
def bundle(tmp_path: Path, host: Host, as_root: None) -> Iterator[Bundle]:
    """A bundle like those that Docker makes, without a cgroup of its own."""
    need("busybox", host.busybox, "there is no statically linked busybox")
    made = make_bundle(tmp_path / "bundle", host, str(host.busybox))
    for applet in ("sed", "sort"):
        (made.path / "rootfs" / "bin" / applet).symlink_to("busybox")
    names = [str(capability) for capability in DOCKER]
    sets = ("bounding", "effective", "permitted")
    made.process.update(
        args=["sh", "-c", WORDS],
        capabilities=dict.fromkeys(sets, names),
        user={"uid": 0, "gid": 0, "additionalGids": [5, 7], "umask": 0o027},
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 100}],
        env=["PATH=/bin", "A=b"],
        cwd="/etc",
    )
    made.linux["seccomp"] = docker_seccomp(names, os.uname().machine)
    made.document["ociVersion"] = "1.0.2"
    # Cgroups are compared elsewhere: some peers refuse this machine's layout of them.
    made.document["mounts"] = [
        mount for mount in made.document["mounts"] if mount["type"] != "cgroup"
    ]
    made.linux["namespaces"].remove({"type": "cgroup"})
    yield made


def run_by(peer: str, bundle: Bundle) -> list[str]:
    """Return what the bundle's program says when another runtime runs it."""
    (bundle.path / "config.json").write_text(json.dumps(bundle.document))
    name = f"labkit-oracle-{os.getpid()}"
    # crun refuses a hybrid layout: it sees the trees of version 1 alone.
    hybrid = 'umount -l /sys/fs/cgroup/unified 2>/dev/null; exec "$@"'
    apart = ["unshare", "--mount", "sh", "-c", hybrid, "sh"]
    words = [peer, "--root", str(bundle.path / "state"), "run", "--bundle"]
    done = subprocess.run(
        [*apart, *words, str(bundle.path), name],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def essence(lines: list[str]) -> dict[str, object]:
    """Return what must be the same, whoever runs the bundle."""
    parts = [line.partition(" ")[::2] for line in lines]
    status = dict(
        rest.split(":", 1) for name, rest in parts if name == "status" and ":" in rest
    )
    mounts = sorted(mounted(rest) for name, rest in parts if name == "mount")
    devices = {rest.split()[-1] for name, rest in parts if name == "dev"}
    return {
        "status": {name: status[name].split() for name in STATUS},
        "mounts": [row for row in mounts if row[0] != "/"],
        "devices": sorted(devices - {ONLY_THEIRS}),
        "files": [rest for _, rest in parts if "open files" in rest],
        "env": [rest for name, rest in parts if name == "env"],
        "who": lines[-3:],
    }


def mounted(line: str) -> tuple[str, str, bool]:
    """Return a mount's place, its type, and whether it is read-only."""
    words = line.split(" ")
    place, fstype = words[4], words[words.index("-") + 1]
    if place in HIDDEN:
        return place, "hidden", True  # by a /dev/null or a tmpfs of either's own
    return place, fstype, "ro" in words[5].split(",")


def test_the_process_its_mounts_and_its_devices_are_the_same(
    peer: str, bundle: Bundle
) -> None:
    theirs = essence(run_by(peer, bundle))
    ours = essence(bundle.run("sh", "-c", WORDS).splitlines())
    for name, value in theirs.items():
        assert ours[name] == value, name
