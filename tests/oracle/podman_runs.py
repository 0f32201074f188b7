"""Run the cases of podman_cases.py with some runtimes; write what came of them as JSON.

python -m tests.oracle.podman_runs DIRECTORY RUNTIME...

One storage and one image serve all; each runtime has a thread that goes through the
cases. This is run on a private machine.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.oracle.podman_cases import CASES, PREAMBLE

TIMEOUT_S = 30
_CONF = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096", "core=0:0"]
netns = "none"
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime_supports_json = ["crun", "runc", "labkit-oci"]
"""
# The directory is private: what podman refuses to do without a policy isn't at stake.
_POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'
_SECCOMP = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
    "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
    ],
}


def main(directory: str, *runtimes: str) -> None:
    """Run every case with every runtime."""
    place = Path(directory)
    wanted = os.environ.get("LABKIT_CASES", "")
    cases = {name: text for name, text in CASES.items() if re.search(wanted, name)}
    (place / "containers.conf").write_text(_CONF)
    (place / "policy.json").write_text(_POLICY)
    _podman(place, runtimes[0], "import", "-c", 'CMD ["sh"]', "box.tar", "box")
    with ThreadPoolExecutor(len(runtimes)) as pool:
        told = pool.map(lambda runtime: _all(place, runtime, cases), runtimes)
        results = dict(zip(runtimes, told, strict=True))
    (place / "results.json").write_text(json.dumps(results, indent=1))


def _all(place: Path, runtime: str, cases: dict[str, str]) -> dict[str, list[object]]:
    told = {}
    for number, (name, script) in enumerate(cases.items()):
        told[name] = _one(place, runtime, script, number)
    return told


def _one(place: Path, runtime: str, script: str, number: int) -> list[object]:
    label = Path(runtime).name
    own = place / f"{label}-{number}"
    own.mkdir()
    own.chmod(0o755)
    (own / "file").write_text("from the host\n")
    (own / "seccomp.json").write_text(json.dumps(_SECCOMP))
    env = _environment(place, runtime) | {
        "N": f"case{number}-{label}",
        "IMAGE": "localhost/box",
        "PLACE": str(own),
        "ROOTFS": str(place / "rootfs"),
    }
    try:
        done = subprocess.run(
            ["sh", "-c", f"{PREAMBLE}\n{script}"], cwd=own, env=env, text=True,
            capture_output=True, errors="replace", timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        return [-1, f"not ended after {TIMEOUT_S} s", str(late.stderr)]
    return [done.returncode, done.stdout.replace(str(own), "PLACE"), done.stderr]


def _environment(place: Path, runtime: str) -> dict[str, str]:
    label = Path(runtime).name
    folder = place / f"bin-{label}"
    if not folder.exists():
        folder.mkdir()
        options = (
            f"--root {place}/storage --runroot {place}/run --tmpdir {place}/tmp "
            f"--storage-driver overlay --cgroup-manager cgroupfs --runtime {runtime}"
        )
        program = folder / "podman"
        program.write_text(f'#!/bin/sh\nexec /usr/bin/podman {options} "$@"\n')
        program.chmod(0o755)
    return {
        "PATH": f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(place),
        "CONTAINERS_CONF": f"{place}/containers.conf",
    }


def _podman(place: Path, runtime: str, *words: str) -> None:
    env = _environment(place, runtime)
    subprocess.run(
        ["podman", *words], env=env, cwd=place, check=True, capture_output=True
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
