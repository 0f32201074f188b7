"""Start a VM: from a saved state when one fits, cold otherwise. Never hang.

    saved, fits, loads, answers     two seconds
    otherwise                       Linux boots, and saves its state on the way

Every wait has a limit; what goes wrong with a saved state removes it, and what goes
wrong with KVM is remembered. Reading order: boot, resume, cold.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from labkit.errors import HostError
from labkit.vm import accelerator, places, saved_state
from labkit.vm.initramfs import code_part
from labkit.vm.machine import Machine
from labkit.vm.settings import Settings
from labkit.vm.sparse import copy, hollow
from labkit.vm.virtual_machine import VirtualMachine

Say = Callable[[str], None]
RESUME_S = 10.0
AWAKE_S = 15.0
_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Booted:
    """A VM that is awake, and how it came to be."""

    vm: VirtualMachine
    machine: Machine
    resumed: bool  # from a saved state


def boot(settings: Settings, work: str, say: Say) -> Booted:
    """Start a VM and wake it.

    Args: settings [size, accelerator]; work [the folder to share]; say [called with a
        line for each thing that takes time].
    Returns: the VM, awake: its clock is right and its disks are mounted.
    Raises: HostError when it doesn't get ready in time, or ends.
    Needs: nothing; the artefacts must be built.
    """
    folder = places.folder("run")
    prepare(folder)

    def start(name: str) -> Booted:
        return _boot(machine_for(settings, work, folder, name), folder, say)

    return accelerator.first_that_works(start, settings.accelerator, say)


def prepare(folder: Path) -> None:
    """Put the files there that belong to one VM: its first file system, its disk."""
    fixed = places.artefact("initramfs.img").read_bytes()
    (folder / "initramfs.img").write_bytes(fixed + code_part())
    copy(places.artefact("scratch.img"), folder / "scratch.img")


def machine_for(settings: Settings, work: str, folder: Path, name: str) -> Machine:
    """Return the machine that settings describe."""
    return Machine(
        kernel=places.artefact("vmlinux"),
        initramfs=folder / "initramfs.img",
        image=places.artefact("root.img"),
        scratch=folder / "scratch.img",
        python=places.interpreter(),
        work=work,
        memory_mb=settings.memory_mb,
        cpus=settings.cpus,
        accelerator=name,
        code_cache_mb=settings.cache_mb,
    )


def _boot(machine: Machine, folder: Path, say: Say) -> Booted:
    state = saved_state.fitting(machine)
    if state is not None:
        try:
            return Booted(resume(machine, folder, state), machine, resumed=True)
        except HostError as failed:
            say(f"the saved state can't be used, booting anew ({failed.meaning})")
            saved_state.discard()
    say(f"booting Linux ({machine.accelerator})")
    return Booted(cold(machine, folder, say), machine, resumed=False)


def resume(machine: Machine, folder: Path, state: Path) -> VirtualMachine:
    """Go on where a state was saved.

    Raises: HostError when it is damaged, or QEMU can't load it in time.
    """
    vm = VirtualMachine.start(machine, folder, state=state)
    try:
        # While QEMU reads the file, which a damaged page wouldn't disturb.
        if not saved_state.is_intact(state):
            raise vm.failed("the saved state is damaged")
        vm.monitor.open()
        deadline = time.monotonic() + RESUME_S
        while vm.monitor.status() == "inmigrate":
            if time.monotonic() > deadline:
                raise vm.failed(f"the saved state wasn't loaded in {RESUME_S:g} s")
            time.sleep(_POLL_S)
        vm.monitor.ask("cont")
        _wake(vm, machine)
    except BaseException:
        vm.end()
        raise
    return vm


def cold(machine: Machine, folder: Path, say: Say) -> VirtualMachine:
    """Boot Linux; save its state before anybody has used it.

    Raises: HostError when it doesn't get ready in time, or ends. A state that can't be
        saved is no failure: the next start is a cold one, too.
    """
    # QEMU keeps what it boots from mapped for ever: seventy megabytes, which are given
    # back by emptying the files. So it gets a copy of the kernel.
    machine = replace(machine, kernel=folder / "vmlinux")
    copy(places.artefact("vmlinux"), machine.kernel)
    vm = VirtualMachine.start(machine, folder)
    try:
        vm.monitor.open()
        ready = vm.wait_for("ready", accelerator.READY_S[machine.accelerator])
        for line in ready["missing"]:
            say(f"not in the VM: {line}")
        try:
            saved_state.save(vm, machine)
        except HostError as failed:
            say(f"the state isn't saved: {failed.meaning}")
            saved_state.discard()
        for used in (machine.kernel, machine.initramfs):
            hollow(used)
        _wake(vm, machine)
    except BaseException:
        vm.end()
        raise
    return vm


def _wake(vm: VirtualMachine, machine: Machine) -> None:
    entropy = os.urandom(64).hex()
    vm.tell(do="wake", time=time.time(), entropy=entropy, work=machine.work)
    vm.wait_for("awake", AWAKE_S)
