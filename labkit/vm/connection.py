"""What Jupyter starts for a notebook: it asks for a kernel in the VM, and stays.

    python -m labkit.vm -f CONNECTION_FILE

To Jupyter this process is the kernel: it ends with it and with its exit code, and when
Jupyter ends it, the kernel ends. Messages don't pass through here: QEMU forwards the
kernel's ports. An interrupt comes as a message, too ("interrupt_mode" in kernel.json).
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from labkit.errors import HostError, LabError
from labkit.vm.lines import Lines
from labkit.vm.summon import log_tail, summon

# Jupyter waits a minute for a kernel's first word.
BOUND_S = 55.0
_PARENT_S = 1.0
_PASSED_ON = ("LANG", "LC_ALL", "TZ", "MPLBACKEND", "JPY_SESSION_NAME", "NO_COLOR")
_OURS = "LABKIT_"
# These name places outside the VM, or are about it.
_NOT_INSIDE = ("LABKIT_STATE", "LABKIT_VM")


def main(argv: list[str]) -> int:
    """Be one notebook's kernel; return its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _on_signal)
    connection = json.loads(Path(argv[argv.index("-f") + 1]).read_text())
    try:
        return serve(connection)
    except LabError as error:
        print(error, file=sys.stderr, flush=True)
        return 1


def serve(connection: dict[str, object]) -> int:
    """Ask for a kernel, and stay until it has ended.

    Raises: HostError when there is no VM to be had, or the kernel doesn't start.
    """
    parent, here = os.getppid(), os.getcwd()
    request = {
        "connection": connection,
        "directory": here,
        "environment": environment_inside(os.environ),
        "parent": parent,
    }
    while True:
        owner = summon(work_folder(Path(here)), _say)
        owner.say(do="kernel", **request)
        if messages := owner.read():  # "accepted", to begin with
            return _stay(owner, parent, messages)
        # That VM was just ending, and is gone now.
        owner.close()


def work_folder(here: Path, environ: Mapping[str, str] = os.environ) -> str:
    """Return the folder that a VM shares when this notebook is its first.

    The checkout that the notebook lies in, so that chapters find what they need;
    otherwise the notebook's own folder. LABKIT_VM_WORK chooses another.
    """
    if chosen := environ.get("LABKIT_VM_WORK"):
        return str(Path(chosen).expanduser().absolute())
    for folder in (here, *here.parents):
        if (folder / "labkit").is_dir() and (folder / "notebooks").is_dir():
            return str(folder)
    return str(here)


def environment_inside(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what of this environment a kernel in the VM gets."""
    ours = {
        name: value
        for name, value in environ.items()
        if name in _PASSED_ON
        or (name.startswith(_OURS) and not name.startswith(_NOT_INSIDE))
    }
    return {**ours, "LABKIT_VM": "1"}


def _stay(owner: Lines, parent: int, messages: list[dict[str, Any]]) -> int:
    deadline, bound = time.monotonic() + BOUND_S, False
    while True:
        for message in messages:
            if message["event"] == "exit":
                return _exit_code(message["code"])
            if message["event"] == "failed":
                raise _not_started(message["why"])
            bound = bound or message["event"] == "bound"
        if not bound and time.monotonic() > deadline:
            raise _not_started(f"it didn't answer in {BOUND_S:g} s")
        ready, _, _ = select.select([owner], [], [], _PARENT_S)
        if os.getppid() != parent:
            return 1  # Jupyter is gone, and so is whoever would have ended us
        messages = _messages(owner) if ready else []


def _messages(owner: Lines) -> list[dict[str, Any]]:
    messages = owner.read()
    if messages is None:
        raise _lost()
    return messages


def _exit_code(code: int) -> int:
    if code < 0:
        _say(f"Linux in the VM ended this kernel: {signal.Signals(-code).name}")
        return 128 - code
    return code


def _lost() -> HostError:
    tail = log_tail()
    return HostError(
        "lab VM: it has ended",
        "restart the kernel: a new VM starts",
        "labkit vm status",
        meaning=tail or "it was stopped",
    )


def _not_started(why: str) -> HostError:
    return HostError(
        "lab VM: the notebook's kernel didn't start",
        "restart the kernel; if that doesn't help: labkit vm reset",
        "labkit vm status",
        meaning=why,
    )


def _say(line: str) -> None:
    print(f"labkit: {line}", file=sys.stderr, flush=True)


def _on_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
