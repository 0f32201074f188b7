"""Groups: what the light verbs do to a container's cgroups, by their directories.

`cgroups` maps a controller to a host directory, as the record has it; "" stands for all
controllers at once, where one directory serves them all (chapter 03).

These are plain reads and writes, because a verb that starts for every container can't
wait for the system-call table; `labkit.primitives.cgroups` has the same in full.

Reading order: pids, frozen, freeze, end, remove.
"""

from __future__ import annotations

import errno
import os
import signal
import time

from labkit.errors import StateError, syscall_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Cgroups = dict[str, str]

_PATIENCE_S = 10.0
_SHORT_S, _LONG_S = 0.0005, 0.05


def pids(cgroups: Cgroups, *, below: bool = True) -> list[int]:
    """Return the processes of a container, as this host counts.

    Args: below [also those in cgroups that the container has made itself].
    """
    found: set[int] = set()
    for top in _one_tree(cgroups):
        for directory in inside_out(top) if below else [top]:
            found.update(map(int, read(f"{directory}/cgroup.procs").split()))
    return sorted(found - {0})  # 0: a process that this PID namespace doesn't see


def frozen(cgroups: Cgroups) -> bool:
    """Say whether the container's processes are stopped where they are."""
    path, word, _ = _switch(cgroups)
    if not path:
        return False
    # A frozen group above doesn't count: that isn't this container's status.
    return read(path).strip() in (word, "FREEZING")


def freeze(cgroups: Cgroups, *, on: bool) -> None:
    """Stop the processes where they are, or let them go on; wait until it is so.

    Raises: StateError without a cgroup that can freeze, or when one can't be stopped.
    Needs: write permission in the group.
    Kernel: cgroup.freeze since Linux 5.2; cgroup-v1/freezer-subsystem.rst.
    """
    path, freezing, thawing = _switch(cgroups)
    if not path:
        raise StateError(
            "no cgroup of this container can freeze",
            "run it with a cgroup: linux.cgroupsPath, as root",
            "cgroups(7)",
        )
    word = freezing if on else thawing
    for _ in _rounds():
        _write(path, word)
        if _is_frozen(path) is on:
            return
    raise StateError(
        "a process of the container can't be stopped now",
        "try again; `labkit-oci ps` shows what it waits for",
        meaning="one that waits for a device can't be frozen",
    )


def end(cgroups: Cgroups) -> None:
    """Kill every process of the groups, frozen ones too, and wait until none is left.

    Raises: StateError when one is still there after seconds.
    """
    for number, _ in enumerate(_rounds()):
        left = pids(cgroups)
        if not left:
            return
        for pid in left:
            send(pid, signal.SIGKILL)
        # A frozen process gets its signal when it is thawed.
        if number and frozen(cgroups):
            freeze(cgroups, on=False)
    raise StateError(
        "processes of the container are still there, seconds after SIGKILL",
        "wait, and delete it again",
        meaning="a process that waits for a device can't be killed",
    )


def send(pid: int, number: int) -> bool:
    """Send a signal; say whether the process was there to get it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    except PermissionError as refused:
        raise syscall_error(f"kill(PID, {number})", refused.errno or 0) from None
    return True


def remove(cgroups: Cgroups) -> None:
    """Remove the groups and those below them; twice is fine.

    Raises: Busy when something is still in one after seconds.
    Kernel: rmdir(2), cgroups(7).
    """
    for top in dict.fromkeys(cgroups.values()):
        for directory in inside_out(top):
            _rmdir(directory)


def inside_out(directory: str) -> Iterator[str]:
    """Yield a directory and all below it, the innermost first."""
    try:
        entries = os.scandir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    for path in below:
        yield from inside_out(path)
    yield directory


def _one_tree(cgroups: Cgroups) -> Iterable[str]:
    # Every process is in each tree; freezer's is the one that nobody inside changes.
    for name in ("", "freezer", "pids", "memory"):
        if name in cgroups:
            return (cgroups[name],)
    return tuple(cgroups.values())[:1]


def _switch(cgroups: Cgroups) -> tuple[str, str, str]:
    # The file that freezes, the word that does, and the one that thaws.
    if "" in cgroups:
        return f"{cgroups['']}/cgroup.freeze", "1", "0"
    if "freezer" in cgroups:
        return f"{cgroups['freezer']}/freezer.state", "FROZEN", "THAWED"
    return "", "", ""


def _is_frozen(path: str) -> bool:
    if path.endswith("cgroup.freeze"):
        events = read(f"{os.path.dirname(path)}/cgroup.events")
        return "frozen 1" in events
    return read(path).strip() == "FROZEN"


def _rounds() -> Iterator[None]:
    deadline, pause_s = time.monotonic() + _PATIENCE_S, _SHORT_S
    while time.monotonic() < deadline:
        yield
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONG_S)


def _rmdir(directory: str) -> None:
    refused: OSError | None = None
    for _ in _rounds():
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            return
        except OSError as busy:  # EBUSY: a killed process takes a moment to go
            if busy.errno != errno.EBUSY:
                raise syscall_error(f'rmdir("{directory}")', busy.errno or 0) from None
            refused = busy
        else:
            return
    raise syscall_error(f'rmdir("{directory}")', (refused.errno if refused else 0) or 0)


def read(path: str) -> str:
    """Return a small file's text; "" when the group, or the file, isn't there."""
    try:
        with open(path) as file:
            return file.read()
    except OSError as gone:
        if gone.errno not in (errno.ENOENT, errno.ENODEV):
            raise syscall_error(f'open("{path}")', gone.errno or 0) from None
        return ""


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as refused:
        raise syscall_error(f'write("{path}", "{text}")', refused.errno or 0) from None
