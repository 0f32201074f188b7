"""Where the VM's files lie: below the lab's state directory, one VM for each.

<state>/vm/vmlinux initramfs.img root.img scratch.img    made by `labkit vm build`
<state>/vm/build.json                                    what they were made from
<state>/vm/saved/machine.state, saved.json               a VM that has booted
<state>/vm/run/owner.sock, owner.json, owner.log         of the VM that runs
               console.log, scratch.img
<state>/vm/accelerator.json                              a KVM that didn't work
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from labkit import state

FOLDER = "vm"
SOCKET, ABOUT, LOG = "owner.sock", "owner.json", "owner.log"  # in `running()`
START_LOCK = "vm-start"
"""Held by who starts a VM, and by who tidies up behind one."""


def folder(name: str = "") -> Path:
    """Return the VM's directory, or one below it; made if need be."""
    return Path(state.directory(os.path.join(FOLDER, name) if name else FOLDER))


def location() -> Path:
    """Return where the VM's directory is or would be; make nothing."""
    return Path(state.location()) / FOLDER


def artefact(name: str) -> Path:
    """Return the path of one of the build's files; its directory may not exist."""
    return location() / name


def running() -> Path:
    """Return the directory of the VM that runs; it is only there meanwhile."""
    return location() / "run"


def saved() -> Path:
    """Return the directory of the saved state."""
    return location() / "saved"


def interpreter() -> str:
    """Return this Python's path: the same one, whichever of its names was called.

    `python -m jupyter` and the program `jupyter` begin with different ones.
    """
    plain = os.path.join(sys.prefix, "bin", "python3")
    same = os.path.realpath(plain) == os.path.realpath(sys.executable)
    return plain if same else sys.executable


def remove(path: Path) -> None:
    """Remove a directory of ours that may not be there."""
    if path.is_dir():
        shutil.rmtree(path)
