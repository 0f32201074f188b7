"""Ending a group: its processes first, then its directories. Chapter 03.

    kill  -> wait until cgroup.procs is empty -> rmdir, the innermost directory first

rmdir of a group that has processes is EBUSY, and a process that was killed takes a
moment to go: so both are tried again for a few seconds, and not for ever.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator

from labkit.errors import Busy, StateError, SyscallError
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath, HostPid

PATIENCE_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.001, 0.05


def pids_in(directories: Iterable[HostPath]) -> tuple[HostPid, ...]:
    """Return the processes in some directories and below them, as this host counts.

    Left out: a process that this PID namespace can't see; Linux shows it as 0.
    """
    found: set[int] = set()
    for directory in directories:
        for group in inside_out(directory):
            found.update(map(int, _procs(group)))
    # 0 would be this very process group, for kill(2).
    return tuple(HostPid(pid) for pid in sorted(found - {0}))


def inside_out(directory: HostPath) -> tuple[HostPath, ...]:
    """Return a directory and all below it, the innermost first."""
    walk = os.walk(directory, topdown=False)
    return tuple(HostPath(path) for path, _, _ in walk)


def signal_frozen(
    linux: Linux,
    directories: tuple[HostPath, ...],
    switch: str,
    words: tuple[str, str],
) -> None:
    """Kill every process of some directories while they are frozen.

    Frozen, nobody forks away from the signal; thawed, it is delivered.

    Args: switch [the file that freezes; directories without it are passed over]; words
        [what freezes, and what thaws].
    Raises: EPERM for another user's process.
    Needs: CAP_KILL for another user's process.
    Kernel: kill(2), cgroups(7).
    """
    _write_all(linux, directories, switch, words[0])
    for pid in pids_in(directories):
        try:
            linux.kill(pid, signal.SIGKILL)
        except SyscallError as refused:
            if refused.errno != errno.ESRCH:  # it has ended by itself
                raise
    _write_all(linux, directories, switch, words[1])


def end_processes(
    directories: tuple[HostPath, ...],
    end: Callable[[], None],
    patience_s: float = PATIENCE_S,
) -> None:
    """Tell the processes to end, again and again, until none is left.

    Raises: StateError when one is still there at the end of the patience.
    """
    for _ in rounds(patience_s):
        if not pids_in(directories):
            return
        end()
    raise StateError(
        "the cgroup's processes are still there, seconds after SIGKILL",
        "wait and remove it again; `ps` shows what state they are in",
        "kill(2)",
        meaning="a process that waits for a device (state D) can't be killed",
    )


def remove_directories(linux: Linux, directories: tuple[HostPath, ...]) -> None:
    """Remove directories and all below them, the innermost first; twice is fine.

    Raises: EBUSY when something is still in one at the end of the patience.
    Needs: write permission in the parents.
    Kernel: rmdir(2), cgroups(7).
    """
    for directory in directories:
        for path in inside_out(directory):
            _rmdir(linux, path)


def rounds(patience_s: float) -> Iterator[bool]:
    """Yield False with longer and longer pauses, and at the end of patience True."""
    deadline, pause_s = time.monotonic() + patience_s, _FIRST_PAUSE_S
    while (now := time.monotonic()) < deadline:
        yield False
        time.sleep(min(pause_s, max(0.0, deadline - now)))
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
    yield True


def _procs(group: HostPath) -> list[str]:
    try:
        with open(f"{group}/cgroup.procs") as file:
            return file.read().split()
    except OSError as gone:
        if gone.errno not in (errno.ENOENT, errno.ENODEV):
            raise
        return []  # it was removed, before the file was opened or before it was read


def _rmdir(linux: Linux, path: HostPath) -> None:
    for last in rounds(PATIENCE_S):
        try:
            linux.rmdir(path)
        except FileNotFoundError:
            return  # ENOENT: what was wanted is so
        except Busy:
            if last:
                raise
        else:
            return


def _write_all(
    linux: Linux, directories: tuple[HostPath, ...], file: str, text: str
) -> None:
    for directory in directories:
        for path in inside_out(directory):
            if os.path.exists(f"{path}/{file}"):
                linux.write_file(f"{path}/{file}", text)
