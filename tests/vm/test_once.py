"""A virtual machine for one command, over the files that a container has."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from labkit.errors import HostError
from labkit.linux import proc
from labkit.rootfs import rootfs
from labkit.vm import beside, places
from labkit.vm.machine import PROGRAM, TCG
from labkit.vm.once import Ran, run_once

pytestmark = pytest.mark.usefixtures("built")


def once(*argv: str, timeout_s: float = 60) -> Ran:
    kernel, tree = places.artefact("vmlinux"), Path(rootfs("alpine").path)
    return run_once(kernel, tree, argv, accelerator=TCG, timeout_s=timeout_s)


def machines() -> list[int]:
    """The QEMUs that this process has started."""
    ours = proc.children(os.getpid())
    return [one.pid for one in ours if PROGRAM.startswith(one.name)]


def test_it_runs_another_linux_over_the_same_files() -> None:
    ran = once("sh", "-c", 'uname -r; ls -1 /etc; echo "two  words"; exit 7')
    release, *names = ran.stdout.splitlines()
    assert ran.code == 7
    assert release.encode() in places.artefact("vmlinux").read_bytes()
    assert names == [*sorted(os.listdir(f"{rootfs('alpine').path}/etc")), "two  words"]
    assert 32 << 20 < ran.memory_bytes < 1 << 30
    assert machines() == []


def test_time_that_is_over_ends_it() -> None:
    with pytest.raises(HostError, match="time is over"):
        once("sleep", "1000", timeout_s=1)
    assert machines() == []


def test_a_machine_that_dies_is_an_error_and_no_wait() -> None:
    def kill() -> None:
        while not machines():
            time.sleep(0.05)
        os.kill(machines()[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(HostError, match="QEMU ended"):
        once("sleep", "1000")
    killer.join()


def test_what_is_measured_here_is_not_called_recorded() -> None:
    shown = beside.beside()
    assert shown.machine.answer and shown.machine.accelerator and not shown.origin
