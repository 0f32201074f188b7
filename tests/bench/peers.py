"""unshare, runc and crun, where they are installed: the same container, by others.

Each once with Docker's filter of system calls, as the lab's have it, and once bare.
A program of its own, in a mount namespace of its own: on a machine with both cgroup
versions crun wants to see only the first. It says which programs there are, then reads
names, runs each, and answers with the seconds that it took.

    python -m tests.bench.peers FOLDER
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from labkit.runtime.spec.docker_seccomp import docker_seccomp

PREFIX = "labkit-bench"
MEMORY, PIDS = 64 * 1024 * 1024, 32
QUOTA_US = PERIOD_US = 100_000  # one whole CPU: a limit, and nobody has to wait
PROGRAM = "/bin/true"
UNIFIED = "/sys/fs/cgroup/unified"
UNSHARE = "unshare --mount --pid --net --uts --ipc --cgroup --fork --mount-proc"


def commands(folder: Path) -> dict[str, list[str]]:
    """Return the command line of each program that is here, by its name."""
    found = {}
    if shutil.which("unshare"):
        found["unshare"] = [*UNSHARE.split(), f"--root={folder}/rootfs", PROGRAM]
    for name in filter(shutil.which, ("runc", "crun")):
        for filtered in (True, False):
            bundle = folder / (name if filtered else f"{name}-bare")
            bundle.mkdir()
            write_config(name, bundle, folder / "rootfs", filtered=filtered)
            state = ["--root", f"{folder}/{name}-state"]
            run = ["run", "--bundle", str(bundle), f"{PREFIX}-{bundle.name}"]
            found[bundle.name] = [name, *state, *run]
    return found


def write_config(runtime: str, bundle: Path, root: Path, *, filtered: bool) -> None:
    """Write what the runtime itself proposes, with the limits that all have.

    Args: filtered [whether it has Docker's filter of system calls as well].
    """
    subprocess.run([runtime, "spec"], cwd=bundle, check=True)
    path = bundle / "config.json"
    config = json.loads(path.read_text())
    config["root"] = {"path": str(root)}
    config["process"] |= {"terminal": False, "args": [PROGRAM]}
    config["process"].pop("rlimits", None)  # not everybody's root may raise them
    # Of our own, because runc would make one below the group of whoever calls it.
    config["linux"]["cgroupsPath"] = f"/{PREFIX}-{bundle.name}"
    config["linux"]["resources"] |= {
        "memory": {"limit": MEMORY},
        "cpu": {"quota": QUOTA_US, "period": PERIOD_US},
        "pids": {"limit": PIDS},
    }
    if filtered:
        allowed = tuple(config["process"]["capabilities"]["bounding"])
        config["linux"]["seccomp"] = docker_seccomp(allowed, os.uname().machine)
    path.write_text(json.dumps(config))


def main() -> None:
    """Answer until the other side closes."""
    found = commands(Path(sys.argv[1]))
    if os.path.ismount(UNIFIED):
        subprocess.run(["umount", UNIFIED], check=True)
    print(" ".join(found), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        done = subprocess.run(found[line.strip()], capture_output=True, text=True)
        took_s = time.perf_counter() - start
        said = done.stderr.strip().replace("\n", " ")
        print(took_s if done.returncode == 0 else f"failed: {said}", flush=True)


if __name__ == "__main__":
    main()
