"""Find the owner of this learner's VM, or start one. One VM, whoever asks first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from labkit import state
from labkit.errors import HostError, error_from_json
from labkit.vm import places, settings
from labkit.vm.lines import Lines, connect
from labkit.vm.places import LOG, SOCKET, START_LOCK

Say = Callable[[str], None]
# Longer than a cold boot on a busy machine; a second notebook waits for the first.
_LOCK_S = 120.0
# What belongs to the notebook that happens to be the first.
_NOT_THE_OWNERS = ("JPY_", "IPYTHON", "PYDEVD")


def summon(work: str, say: Say) -> Lines:
    """Return a connection to the owner; start the VM when there is none.

    Args: work [the folder that a new VM shares]; say [called with a line for each
        thing that takes time].
    Raises: HostError when there is no QEMU, not enough memory, or it doesn't boot.
    """
    chosen = settings.from_environment()
    with state.lock(START_LOCK, timeout_s=_LOCK_S):
        running = connect(places.running() / SOCKET)
        if running is not None:
            return running
        _build(chosen, say)
        _start(work, say)
        started = connect(places.running() / SOCKET)
    if started is None:
        raise HostError(
            "lab VM: it ended at once",
            f"read {places.running() / LOG}",
            "labkit vm status",
            meaning="its owner was killed",
        )
    return started


def find() -> Lines | None:
    """Return a connection to the owner, or None when no VM runs."""
    return connect(places.running() / SOCKET)


def _build(chosen: settings.Settings, say: Say) -> None:
    # Not at the top: a notebook that finds a VM needs nothing of it.
    from labkit.vm import build
    from labkit.vm.machine import find_qemu

    find_qemu()
    if not build.is_built(chosen):
        say("making the lab VM; this takes half a minute, once")
        build.build(chosen, say)


def _start(work: str, say: Say) -> None:
    since = time.monotonic()
    folder = places.folder("run")
    told_fd, tell_fd = os.pipe()
    argv = [sys.executable, "-m", "labkit.vm.owner", "--work", work]
    with open(folder / LOG, "ab") as log:
        subprocess.run(  # it leaves at once; the owner is its child, and nobody's
            [*argv, "--tell", str(tell_fd)],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=_environment(),
            pass_fds=[tell_fd],
            start_new_session=True,  # what ends the notebook doesn't end the VM
        )
    os.close(tell_fd)
    with os.fdopen(told_fd, "rb") as told:
        failure = told.read()  # ends when the owner listens, or has ended
    if failure:
        raise error_from_json(json.loads(failure))
    say(f"the lab VM is up after {time.monotonic() - since:.1f} s")


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_NOT_THE_OWNERS)
    }


def log_tail(lines: int = 20) -> str:
    """Return the last lines that the owner wrote."""
    path: Path = places.running() / LOG
    text = path.read_text(errors="replace") if path.exists() else ""
    return "\n".join(text.splitlines()[-lines:])
