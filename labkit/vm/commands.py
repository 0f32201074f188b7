"""labkit vm build|start|status|stop|reset|clean: the VM from a terminal.

build     make what a VM starts from, and a saved state; the second time is instant
start     start a VM that stays until it is stopped
status    what there is, and what runs
stop      end the VM, and every notebook's kernel in it
reset     the same, and forget the saved state: the next VM is a new one
clean     remove everything that build made
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from labkit.errors import HostError
from labkit.vm import build as building
from labkit.vm import places, saved_state, settings
from labkit.vm.connection import work_folder
from labkit.vm.lines import Lines
from labkit.vm.machine import find_qemu
from labkit.vm.summon import find, summon

Say = Callable[[str], None]
_MB = 1 << 20
_END_S = 20.0
_POLL_S = 0.05


def build(say: Say) -> None:
    """Make the artefacts and, unless a VM runs, boot once to save its state.

    Raises: HostError when something is missing or a VM doesn't boot.
    """
    find_qemu()
    made = building.build(settings.from_environment(), say)
    say(f"{'made' if made else 'up to date'}: {places.location()}")
    owner = find()
    if owner is None:
        owner = _summon(say)
        saved = (places.saved() / saved_state.STATE).exists()
        say("a state is saved: the next start is quick" if saved else "no state saved")
    # A VM that goes on from the state needs a hundred megabytes less.
    owner.say(do="retire")
    if owner.read() is None:
        _wait_for_its_end()
    owner.close()


def start(say: Say) -> None:
    """Start a VM that stays until it is stopped.

    Raises: HostError when it can't.
    """
    owner = _summon(say)
    owner.say(do="keep")
    _answer(owner)
    owner.close()
    say("the lab VM runs until: labkit vm stop")


def status() -> Iterator[str]:
    """Yield a line for each thing that there is."""
    chosen = settings.from_environment()
    up_to_date = building.is_built(chosen)
    missing = building.missing()
    word = "up to date" if up_to_date else "not made" if missing else "out of date"
    where = places.location()
    yield f"artefacts    {word}, {_size_mb(where)} MB in {where}"
    state = places.saved() / saved_state.STATE
    yield f"saved state  {f'{_size_mb(state)} MB' if state.exists() else 'none'}"
    owner = find()
    if owner is None:
        yield "VM           not running"
        return
    owner.say(do="status")
    about = _answer(owner)
    owner.close()
    origin = "from the saved state" if about["resumed"] else "booted"
    yield (
        f"VM           running ({about['accelerator']}, {origin}), "
        f"{about['kernels']} kernels, {_resident_mb(about['qemu'])} of "
        f"{about['memory_mb']} MB in use"
    )
    yield f"             shares {about['work']}"


def stop(say: Say) -> None:
    """End the VM; without one it says so.

    Raises: HostError when it doesn't end.
    """
    owner = find()
    if owner is None:
        say("no lab VM is running")
        places.remove(places.running())  # of an owner that was killed
        return
    _stop(owner)
    say("the lab VM has ended")


def reset(say: Say) -> None:
    """End the VM and forget its saved state."""
    stop(say)
    saved_state.discard()
    say("the next VM boots anew")


def clean(say: Say) -> None:
    """End the VM and remove everything that was made for it."""
    stop(say)
    size = _size_mb(places.location())
    places.remove(places.location())
    say(f"removed {size} MB: {places.location()}")


def _summon(say: Say) -> Lines:
    return summon(work_folder(Path.cwd()), say)


def _stop(owner: Lines) -> None:
    owner.say(do="stop")
    while owner.read() is not None:  # the end of the file is the end of the owner
        continue
    owner.close()
    _wait_for_its_end()


def _wait_for_its_end() -> None:
    deadline = time.monotonic() + _END_S
    while places.running().exists():
        if time.monotonic() > deadline:
            raise HostError(
                "lab VM: it doesn't end",
                f"end the process whose number is in {places.running() / 'owner.json'}",
                meaning=f"it was told to {_END_S:g} s ago",
            )
        time.sleep(_POLL_S)


def _answer(owner: Lines) -> dict[str, Any]:
    messages = owner.read()
    if not messages:
        raise HostError(
            "lab VM: it ended meanwhile",
            "labkit vm status",
            meaning="there was no answer",
        )
    return messages[0]


def _size_mb(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    # What it takes on the disk: an empty disk image takes next to nothing.
    return sum(os.lstat(file).st_blocks * 512 for file in files) // _MB


def _resident_mb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    return 0
