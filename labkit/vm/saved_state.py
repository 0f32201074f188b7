"""A VM that has booted already, kept in a file: the next one starts in two seconds.

    <state>/vm/saved/machine.state     memory and devices, as QEMU writes them
    <state>/vm/saved/saved.json        for which machine it is, and its SHA-256

A state fits only the machine that it was saved on, as long as that hasn't booted anew:
the same QEMU with the same options and files, and a clock that ran on. Whatever
differs, Linux boots as if there were none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from labkit import state
from labkit.linux.views import HostPath
from labkit.vm import places
from labkit.vm.initramfs import code_stamp
from labkit.vm.machine import Machine, qemu_version
from labkit.vm.virtual_machine import VirtualMachine

STATE, MANIFEST = "machine.state", "saved.json"
_SAVE_S = 60.0
_CHUNK = 1 << 20
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def fitting(machine: Machine) -> Path | None:
    """Return the saved state for a machine, or None."""
    found = _manifest()
    if not found or found["for"] != what_it_is_for(machine):
        return None
    path = places.saved() / STATE
    return path if path.exists() else None


def is_intact(path: Path) -> bool:
    """Say whether a saved state is still what was written."""
    return _sha256(path) == _manifest().get("sha256")


def what_it_is_for(machine: Machine) -> dict[str, Any]:
    """Return everything that a saved state depends on."""
    anywhere = dataclasses.replace(
        machine,
        work="/work",
        kernel=Path("/kernel"),
        initramfs=Path("/initramfs"),
        scratch=Path("/scratch"),
        code_cache_mb=0,
    )
    made = [
        places.artefact(name) for name in ("vmlinux", "initramfs.img", "scratch.img")
    ]
    files = [*made, machine.image]
    return {
        "boot": _BOOT_ID.read_text().strip(),
        "qemu": qemu_version(),
        "options": anywhere.options(),
        "files": [[s.st_size, s.st_mtime_ns] for s in map(os.stat, files)],
        # Not the byte code in this VM's initramfs: its bytes aren't the same each time.
        "code": code_stamp(),
    }


def save(vm: VirtualMachine, machine: Machine) -> None:
    """Save a VM that has just got ready; it goes on afterwards.

    Nothing of a learner's is in it, and no folder is mounted: QEMU refuses to save one.

    Args: vm [ready, and not awake]; machine [its machine].
    Raises: HostError when it can't be written: the disk is full.
    """
    discard()
    written = places.folder("saved") / f".{STATE}"
    vm.monitor.ask("stop")
    with open(written, "wb", opener=_for_its_user) as file:
        vm.monitor.save(file.fileno(), _SAVE_S)
    vm.monitor.ask("cont")
    manifest = {"for": what_it_is_for(machine), "sha256": _sha256(written)}
    os.rename(written, places.saved() / STATE)
    path = HostPath(str(places.saved() / MANIFEST))
    state.write(path, json.dumps(manifest, indent=1))


def discard() -> None:
    """Remove the saved state; without one is no error."""
    for name in (MANIFEST, STATE, f".{STATE}"):
        (places.saved() / name).unlink(missing_ok=True)


def _for_its_user(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)  # it is the memory of a computer


def _manifest() -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((places.saved() / MANIFEST).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
