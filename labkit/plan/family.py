"""The end of a child's processes: its outside, its inside, and what they started.

    outside ---- inside ---- programs      one session; the outside inherits orphans

On hang-up the outside ends its family itself (`end_children`). When somebody has killed
the outside, the notebook or `labkit sweep` does it (`Family.end`), and kills a process
only when it still is the one that was recorded: a pid alone is used again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any, Self

from labkit.errors import StateError
from labkit.linux.flags import PR
from labkit.linux.proc import cgroups_of, mounts
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPid
from labkit.values import dataclass

_PREFIX = "/labkit-"  # of the lab's cgroups
_POLL_S = 0.01
_SHORT_S = 0.0002  # a killed process is usually gone by then


@dataclass(frozen=True, slots=True)
class Family:
    """Who belongs to a child: pids, and when they started [clock ticks after boot]."""

    outside: HostPid
    outside_start: int | None
    inside: HostPid
    inside_start: int | None

    @classmethod
    def of(cls, outside: HostPid, inside: HostPid) -> Self:
        """Return the family of an outside and its inside, which are there now."""
        return cls(outside, start_time(outside), inside, start_time(inside))

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned."""
        return cls(*(fields[name] for name in cls.__slots__))

    def to_json(self) -> dict[str, Any]:
        """Return the family as a JSON-able mapping, for its record."""
        return {name: getattr(self, name) for name in self.__slots__}

    def members(self) -> tuple[HostPid, ...]:
        """Return the pids of those that still are there, zombies left out."""
        both = (self.outside, self.outside_start), (self.inside, self.inside_start)
        known = {pid for pid, start in both if start and _started(pid) == start}
        # A session's number isn't used again while somebody is in it, zombies too: as
        # long as one of the two is there, whoever is in the session is of the family.
        if any(_session(pid) == self.outside for pid in known):
            known |= {pid for pid in _all_pids() if _session(pid) == self.outside}
        return tuple(sorted(pid for pid in known if start_time(pid) is not None))

    def end(self, timeout_s: float = 2.0) -> bool:
        """Kill all of them; say whether they are gone. Some can't end: frozen ones."""
        deadline = time.monotonic() + timeout_s
        while members := self.members():
            for pid in members:
                kill(pid)
                thaw(pid)
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True


def pid_of(pidfd: int) -> HostPid:
    """Return whose descriptor it is, as this process counts, whoever sent it.

    Kernel: proc_pid_fdinfo(5), pidfd_open(2).
    """
    with open(f"/proc/self/fdinfo/{pidfd}") as file:
        fields = dict(line.split(":", 1) for line in file)
    return HostPid(int(fields["Pid"]))


def take_status(pid: HostPid, options: int) -> None:
    """Wait for a process, unless it has become another one's child (ECHILD).

    Args: options [os.WNOHANG: don't wait, only take the status of one that ended].
    """
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, options)


def end_with(parent: int, linux: Linux) -> None:
    """Let Linux kill this process when its parent ends, or leave if it has ended.

    Args: parent [the pid of the process that forked this one].
    Raises: nothing.
    Needs: a process that was forked to be changed.
    Kernel: prctl(2), PR_SET_PDEATHSIG: it stays over an execve, but not over one that
        gains privileges.
    """
    linux.prctl(PR.SET_PDEATHSIG, signal.SIGKILL)
    # It died before that, unless this is a rehearsal, in which nobody forks.
    if os.getppid() != parent != os.getpid():
        os._exit(0)


def end_children(timeout_s: float = 2.0) -> bool:
    """Kill this process's children, and theirs; say whether they are gone.

    For a process that inherits orphans (PR.SET_CHILD_SUBREAPER): those come up in a
    later round.
    """
    deadline, pause_s = time.monotonic() + timeout_s, _SHORT_S
    try:
        while time.monotonic() < deadline:
            # The second time, and later, one of them may be frozen.
            _kill_children(thawing=pause_s > _SHORT_S)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _POLL_S)
    except ChildProcessError:
        return True  # ECHILD: nobody is left
    return False


def ended_children() -> Iterator[tuple[int, int]]:
    """Yield pid and wait status of each child that has ended, orphans it inherited too.

    Every status is taken, so that no zombie stays.
    """
    with contextlib.suppress(ChildProcessError):  # ECHILD: none is left
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended


def wake_on_sigchld() -> tuple[int, int]:
    """Return a pipe that becomes readable whenever a child has ended."""
    signal.signal(signal.SIGCHLD, pass_over)
    return wake_on_signals()


def wake_on_signals() -> tuple[int, int]:
    """Return a pipe that becomes readable with each signal that has a handler."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    return read_end, write_end


def pass_over(number: int, frame: FrameType | None) -> None:
    """Do nothing for a signal: not to ignore it, as a program would inherit that."""


def _kill_children(*, thawing: bool) -> None:
    me = os.getpid()
    with open(f"/proc/{me}/task/{me}/children") as file:
        pids = [HostPid(int(word)) for word in file.read().split()]
    for pid in pids:
        kill(pid)
        if thawing:
            thaw(pid)


def kill(pid: HostPid) -> None:
    """Send SIGKILL, unless the process has ended or has become another user's."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def thaw(pid: HostPid) -> None:
    """Let a process die that one of the lab's cgroups has frozen.

    In cgroup v1 a frozen process gets its SIGKILL when it is thawed; in v2 at once.
    """
    try:
        path = cgroups_of(pid).get("freezer", "")
        tops = [m.target for m in mounts() if "freezer" in m.super_options]
        if _PREFIX in path and tops:
            with open(f"{tops[0]}{path}/freezer.state", "w") as state:
                state.write("THAWED")
    except (OSError, StateError):
        return  # it has ended, or its cgroup is gone or somebody else's


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks after boot; None if it ended."""
    fields = _stat(pid)
    return None if not fields or fields[0] == "Z" else int(fields[19])


def _started(pid: int) -> int | None:
    # Also of a zombie, which keeps its pid until somebody waits for it.
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def _session(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[3]) if fields else None


def _stat(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return []
    # proc_pid_stat(5). The name, field 2, may hold spaces and parentheses: the rest is
    # counted from its end, so that index 0 is field 3.
    return text.rpartition(")")[2].split()


def _all_pids() -> Iterator[HostPid]:
    return (HostPid(int(name)) for name in os.listdir("/proc") if name.isdigit())
