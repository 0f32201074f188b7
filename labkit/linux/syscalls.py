"""The object called `linux`: the system calls, by their man-page names.

    linux = Linux()          the plain form
    Timed()                  the same calls, each one recorded with its duration
    labkit.linux.trace       the recorder: the same calls, written down and not made

A step receives one of them and touches nothing else; so the same step runs for real,
is timed, or is only rehearsed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from labkit.errors import SyscallError, WrongProcess
from labkit.linux.call import Call, Caller
from labkit.linux.files import Files
from labkit.linux.mounting import Mounting
from labkit.linux.network import Network
from labkit.linux.privileges import Privileges
from labkit.linux.processes import Processes
from labkit.linux.table import TABLE
from labkit.linux.views import HostPid
from labkit.linux.walking import Walking

CHANGE_THE_CALLER = frozenset(
    # fmt: off
    (
        "unshare",
        "setns",
        "chroot",
        "chdir",
        "fchdir",
        "pivot_root",
        "mount",
        "move_mount",
        "sethostname",
        "setdomainname",
        "execve",
        "setsid",
        "setpgid",
        "sigprocmask",
        "umask",
        "setgroups",
        "setresuid",
        "setresgid",
        "capset",
        "prctl",
        "setrlimit",
        "seccomp",
        "keyctl",
        "personality",
        "ioprio_set",
        "sched_setattr",
        "close_range",
        "dup2",
    )
    # fmt: on
)
"""Calls after which the calling process isn't what it was."""


class Linux(Processes, Privileges, Network, Mounting, Files, Walking):
    """The Linux kernel that this process runs on.

    Args: inside [host pid that steps outside act upon]; forked [True in a process that
        was made to be changed: only there are calls of CHANGE_THE_CALLER made].
    """

    def __init__(self, inside: HostPid | None = None, *, forked: bool = False) -> None:
        self.inside, self.forked = inside, forked

    def _call(self, name: str, *arguments: Any) -> Any:
        if not self.forked and name in CHANGE_THE_CALLER:
            raise WrongProcess(
                f"{TABLE[name].text(arguments)}: not in this process",
                "put the step into a plan: Plan(step).fork() changes a child instead",
                meaning="it would change the notebook itself, for every later cell",
            )
        return Caller._call(self, name, *arguments)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Timed(Linux):
    """Linux, with a record of every call: `calls` holds them in order.

    Args: announce [called with the record just before each execve, because after one
        that succeeds there is nobody left to tell].
    """

    def __init__(
        self,
        inside: HostPid | None = None,
        *,
        forked: bool = False,
        announce: Callable[[list[Call]], None] | None = None,
    ) -> None:
        super().__init__(inside, forked=forked)
        self.calls: list[Call] = []
        self._announce = announce

    def _call(self, name: str, *arguments: Any) -> Any:
        if name == "execve" and self._announce is not None:
            self._announce([*self.calls, Call(name, TABLE[name].text(arguments))])
        error, start = None, time.perf_counter_ns()
        try:
            return super()._call(name, *arguments)
        except SyscallError as refused:
            error = refused.errno_name
            raise
        finally:
            duration_us = (time.perf_counter_ns() - start) / 1000
            self.calls.append(
                Call(name, TABLE[name].text(arguments), duration_us, error)
            )
