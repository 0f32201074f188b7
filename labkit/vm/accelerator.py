"""KVM where it works, emulation everywhere else.

That /dev/kvm can be opened says little: in a virtual machine it may abort, or run so
slowly that Linux never gets ready. So KVM gets a short time, and a failure is
remembered for this release of Linux and this QEMU.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TypeVar

from labkit import state
from labkit.errors import HostError
from labkit.linux.views import HostPath
from labkit.vm import places
from labkit.vm.machine import KVM, TCG, qemu_version

READY_S = {KVM: 10.0, TCG: 150.0}
"""How long Linux may take until its agent is ready: eight seconds under emulation, many
times that on a machine that is busy. Jupyter gives up after a minute; the VM is ready
then when the notebook is started again."""

T = TypeVar("T")

_FILE = "accelerator.json"
_DEVICE = "/dev/kvm"


def _hush(line: str) -> None:
    """Say nothing."""


def candidates(wanted: str = "", device: str = _DEVICE) -> tuple[str, ...]:
    """Return the accelerators to try, the best first.

    Args: wanted [the setting; "" for what works]; device [of KVM].
    """
    if wanted:
        return (wanted,)
    return (KVM, TCG) if _opens(device) and not _failed_before() else (TCG,)


def first_that_works(
    start: Callable[[str], T], wanted: str = "", say: Callable[[str], None] = _hush
) -> T:
    """Start something with the best accelerator; with emulation, if KVM fails.

    Args: start [called with an accelerator's name]; wanted [the setting, if there is
        one: then with no other]; say [called when another one is tried].
    Raises: HostError, the one of the last that was tried.
    """
    for name in candidates(wanted):
        try:
            return start(name)
        except HostError as failed:
            if name != KVM or wanted:
                raise
            say(f"KVM doesn't work here, going on with emulation ({failed.meaning})")
            remember_failure()
    raise AssertionError("the last candidate returns or raises")


def remember_failure() -> None:
    """Write down that KVM doesn't work here."""
    path = HostPath(str(places.folder() / _FILE))
    state.write(path, json.dumps(_here()))


def _failed_before() -> bool:
    try:
        return bool(json.loads(places.artefact(_FILE).read_text()) == _here())
    except (FileNotFoundError, ValueError):
        return False


def _here() -> list[str]:
    with open("/proc/sys/kernel/osrelease") as file:
        return [file.read().strip(), qemu_version()]


def _opens(device: str) -> bool:
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False  # there is none, or it belongs to others
    return True
