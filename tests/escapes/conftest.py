"""A container as Docker would make it, and what is outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.host import Host
from labkit.primitives.capabilities import DOCKER
from labkit.runtime.spec.docker_seccomp import docker_seccomp
from tests.escapes import amounts
from tests.escapes.outside import Outside
from tests.kernel.bundles import Bundle, new_bundle
from tests.support.skips import need


@pytest.fixture
def bundle(host: Host, as_root: None) -> Iterator[Bundle]:
    """A bundle with Docker's defaults, limits included."""
    with new_bundle(host) as made:
        _as_docker_would(made)
        yield made


def _as_docker_would(made: Bundle) -> None:
    names = [str(cap) for cap in DOCKER]
    made.process["capabilities"] = {
        name: list(names) for name in ("bounding", "effective", "permitted")
    }
    made.process["noNewPrivileges"] = False
    made.process["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": amounts.FILES, "hard": amounts.FILES}
    ]
    made.linux["seccomp"] = docker_seccomp(names, "x86_64")
    made.linux["resources"]["memory"] = {"limit": amounts.MEMORY_MB << 20}
    made.linux["resources"]["pids"] = {"limit": amounts.PROCESSES}
    for row in made.document["mounts"]:
        if row["destination"] == "/dev/shm":
            row["options"][-1] = f"size={amounts.SHM_MB}m"


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    """A directory of the host's that no container was given."""
    return Outside(tmp_path / "outside")


@pytest.fixture(scope="session")
def in_the_lab_vm() -> None:
    """Only where it can hurt nothing: in a machine that exists for it."""
    cmdline = Path("/proc/cmdline").read_text()
    need(
        "lab-vm", "LABKIT_PYTHON" in cmdline, "walls are taken away in the lab VM only"
    )
