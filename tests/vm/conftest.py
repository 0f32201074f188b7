"""A lab VM for the tests: its files made once, its kernels started as Jupyter does.

    built                the artefacts, in the run's own state
    notebook()           a started kernel; .run("code") -> what it printed
    vm                   what runs now: .owner, .qemu, .folder

Each test module begins without a VM and ends without one.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from labkit.host import is_root
from labkit.host.places import state_location
from labkit.vm import build, commands, places, settings
from labkit.vm.machine import PROGRAM
from tests.notebooks.nbval_run import PROJECT
from tests.support.skips import need
from tests.vm.notebook import Notebook, quietly

PATIENCE_S = 20.0


@pytest.fixture(scope="session")
def built() -> Path:
    """The artefacts; those that `make lab` has made are taken when they fit."""
    need("qemu", shutil.which(PROGRAM), f"{PROGRAM} is not installed")
    learners = Path(state_location({}, root_user=is_root())) / places.FOLDER
    for name in (*build.ARTEFACTS, build.MANIFEST):
        if (learners / name).exists():
            with suppress(OSError):  # EXDEV: another file system
                os.link(learners / name, places.folder() / name)
    build.build(settings.from_environment(), print)
    return places.location()


@pytest.fixture(scope="module")
def no_vm(built: Path) -> Iterator[None]:
    """No VM before the first test of a module, none after its last."""
    commands.stop(print)
    yield
    commands.stop(print)


@pytest.fixture(scope="module")
def ready(no_vm: None) -> Iterator[None]:
    """A VM that shares the whole checkout, and stays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_VM_WORK", str(PROJECT))
        # What runs in there starts thousands of small processes.
        patch.setenv("LABKIT_VM_CACHE", "128")
        commands.start(print)
        yield


@pytest.fixture
def notebook(no_vm: None, tmp_path: Path) -> Iterator[Callable[..., Notebook]]:
    """Start kernels; what a test forgets is shut down."""
    started: list[Notebook] = []

    def start(folder: Path = tmp_path, **environment: str) -> Notebook:
        started.append(Notebook.start(folder, environment))
        return started[-1]

    yield start
    for one in started:
        one.close()


@dataclass(frozen=True)
class Running:
    """The VM that runs: its owner's and QEMU's process, its directory."""

    owner: int
    qemu: int
    folder: Path

    def is_gone(self) -> bool:
        """Wait until nothing of it is left; say whether that came."""
        paths = [Path(f"/proc/{pid}") for pid in (self.owner, self.qemu)]
        return quietly(lambda: not any(map(Path.exists, [*paths, self.folder])))


@pytest.fixture
def vm() -> Callable[[], Running]:
    """Look which VM runs."""
    return running


def running() -> Running:
    """Return the VM that runs."""
    about = json.loads((places.running() / "owner.json").read_text())
    owner = int(about["pid"])
    children = Path(f"/proc/{owner}/task/{owner}/children").read_text().split()
    assert len(children) == 1, "the owner has QEMU and no other child"
    return Running(owner, int(children[0]), places.running())


def wait_for_idle(seconds: float) -> None:
    """Let time pass that a VM is allowed to stay without a kernel."""
    time.sleep(seconds)
