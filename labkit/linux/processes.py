"""System calls about processes, their namespaces and their privileges. Chapters 01, 04.

Reading order: fork, execve, waitpid, kill; unshare, setns, clone3; ids, capabilities.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping, Sequence

from labkit.linux.call import Caller
from labkit.linux.flags import CLONE, PR
from labkit.linux.structs import (
    CAPABILITY_VERSION_3,
    CapabilitySets,
    CloneArgs,
    cap_data,
    cap_header,
)
from labkit.linux.views import HostPid


class Processes(Caller):
    """The part of `linux` that is about processes."""

    def fork(self) -> int:
        """Make a copy of this process; return the child's pid, or 0 in the child.

        Raises: LimitReached for EAGAIN (pids.max, RLIMIT_NPROC) and ENOMEM (the PID
            namespace's first process has ended).
        Needs: nothing.
        Kernel: fork(2).
        """
        return int(self._call("fork"))

    def execve(self, path: str, argv: Sequence[str], envp: Mapping[str, str]) -> None:
        """Replace this process's program; on success nothing returns.

        Args: path [as this process sees it]; argv [argv[0] is the program's own name];
            envp [name to value].
        Raises: ENOENT when the program or its loader is missing, EACCES when it isn't
            executable, ENOEXEC when it is no program for this machine.
        Needs: nothing.
        Kernel: execve(2).
        """
        self._call(
            "execve", path, argv, [f"{name}={value}" for name, value in envp.items()]
        )

    def waitpid(self, pid: int, options: int = 0) -> tuple[int, int]:
        """Wait for a child to end and take its status, so that no zombie stays.

        Args: pid [as this process sees it; -1 for any child]; options [os.WNOHANG].
        Returns: (pid, wait status; see os.waitstatus_to_exitcode).
        Raises: ECHILD when there is no such child.
        Needs: nothing.
        Kernel: waitpid(2).
        """
        pid, status = self._call("waitpid", pid, options)
        return pid, status

    def getpid(self) -> int:
        """Return this process's id, as its own PID namespace counts.

        Raises: nothing.
        Needs: nothing.
        Kernel: getpid(2), pid_namespaces(7).
        """
        return int(self._call("getpid"))

    def setsid(self) -> int:
        """Give this process a session of its own, away from the terminal's signals.

        Raises: EPERM when it leads a process group already.
        Needs: nothing.
        Kernel: setsid(2).
        """
        return int(self._call("setsid") or 0)

    def setpgid(self, pid: int, group: int) -> None:
        """Put a process into a process group: 0, 0 makes the caller one of its own.

        Raises: EPERM for a session's leader, or across sessions.
        Needs: nothing.
        Kernel: setpgid(2).
        """
        self._call("setpgid", pid, group)

    def tcsetpgrp(self, fd: int, group: int) -> None:
        """Make a process group the one that a terminal's Ctrl-C reaches.

        Raises: ENOTTY when fd is no terminal, or not this session's.
        Needs: nothing.
        Kernel: tcsetpgrp(3).
        """
        self._call("tcsetpgrp", fd, group)

    def sigprocmask(self, how: int, signals: Iterable[int]) -> set[int]:
        """Hold signals back, or let them come; return those that were held back.

        Args: how [signal.SIG_BLOCK, SIG_UNBLOCK or SIG_SETMASK]. A program inherits it.
        Raises: EINVAL.
        Needs: nothing.
        Kernel: sigprocmask(2).
        """
        held: set[int] = self._call("sigprocmask", how, signals)
        return held

    def sigwaitinfo(self, signals: Iterable[int]) -> int:
        """Wait for one of some signals that are held back; return which came.

        Raises: EINTR.
        Needs: nothing.
        Kernel: sigwaitinfo(2).
        """
        return int(self._call("sigwaitinfo", signals))

    def kill(self, pid: int, signal: int) -> None:
        """Send a signal to a process.

        Args: pid [as this process sees it]; signal [signal.SIGTERM and so on].
        Raises: ESRCH when there is no such process, EPERM when it isn't yours.
        Needs: CAP_KILL for another user's process.
        Kernel: kill(2), signal(7).
        """
        self._call("kill", pid, signal)

    def pidfd_open(self, pid: int) -> int:
        """Return a descriptor that means this one process, even when its pid is reused.

        Args: pid [as this process sees it].
        Raises: ESRCH when there is no such process.
        Needs: nothing.
        Kernel: pidfd_open(2), since Linux 5.3.
        """
        return int(self._call("pidfd_open", pid, 0))

    def pidfd_send_signal(self, pidfd: int, signal: int) -> None:
        """Send a signal to the very process that the descriptor means.

        Raises: ESRCH when it has ended.
        Needs: CAP_KILL for another user's process.
        Kernel: pidfd_send_signal(2), since Linux 5.1.
        """
        self._call("pidfd_send_signal", pidfd, signal)

    def unshare(self, flags: CLONE) -> None:
        """Move this process into new namespaces of the kinds named.

        A new PID or time namespace is entered by the children only: fork after it.

        Raises: EPERM without CAP_SYS_ADMIN, EINVAL in a process with threads for
            CLONE.NEWUSER, ENOSPC at the limit on namespaces.
        Needs: CAP_SYS_ADMIN in your user namespace, except with CLONE.NEWUSER.
        Kernel: unshare(2), namespaces(7).
        """
        self._call("unshare", flags)

    def setns(self, fd: int, flags: CLONE) -> None:
        """Move this process into existing namespaces.

        Args: fd [a /proc/PID/ns file or a pidfd]; flags [which kinds].
        Raises: EINVAL when fd isn't of that kind, EPERM without the capability.
        Needs: CAP_SYS_ADMIN in the user namespace that owns the target, and in yours.
        Kernel: setns(2); a pidfd since Linux 5.8.
        """
        self._call("setns", fd, flags)

    def clone3(self, args: CloneArgs) -> HostPid:
        """Make a child directly in new namespaces and a cgroup; 0 in the child.

        Only from a process with one thread: in a notebook it may hang. Returns the
        child's pid.

        Raises: EPERM without CAP_SYS_ADMIN, EINVAL for flags that don't go together.
        Needs: CAP_SYS_ADMIN in your user namespace, except with CLONE.NEWUSER.
        Kernel: clone3(2), since Linux 5.3; CLONE_INTO_CGROUP since 5.7, v2 only.
        """
        struct = args.as_struct()
        return HostPid(
            int(self._call("clone3", _Pointed(struct, args), ctypes.sizeof(struct)))
        )

    def prctl(self, operation: PR, *args: int) -> int:
        """Change or ask one of this process's own attributes.

        Raises: EINVAL for an unknown operation, EPERM when it isn't allowed.
        Needs: depends on the operation (CAP_SETPCAP for PR.CAPBSET_DROP).
        Kernel: prctl(2).
        """
        filled = (*args, 0, 0, 0, 0)[:4]
        return int(self._call("prctl", operation, *filled))

    def capget(self) -> CapabilitySets:
        """Return this process's effective, permitted and inheritable capabilities.

        Raises: nothing a learner meets.
        Needs: nothing.
        Kernel: capget(2), capabilities(7).
        """
        pair = (cap_data * 2)()
        self._call("capget", _header(), _Pointed(pair, "{}"))
        return CapabilitySets.from_struct(pair)

    def capset(self, sets: CapabilitySets) -> None:
        """Set this process's effective, permitted and inheritable capabilities.

        Raises: EPERM when a set would grow.
        Needs: CAP_SETPCAP to add to the inheritable set.
        Kernel: capset(2), capabilities(7).
        """
        self._call("capset", _header(), _Pointed(sets.as_struct(), sets))

    def sethostname(self, name: str) -> None:
        """Set the host name of this process's UTS namespace.

        Raises: EPERM without the capability, EINVAL above 64 bytes.
        Needs: CAP_SYS_ADMIN in the user namespace that owns the UTS namespace.
        Kernel: sethostname(2), uts_namespaces(7).
        """
        self._call("sethostname", name, len(os.fsencode(name)))

    def setdomainname(self, name: str) -> None:
        """Set the NIS domain name of this process's UTS namespace.

        Raises: EPERM without the capability, EINVAL above 64 bytes.
        Needs: CAP_SYS_ADMIN in the user namespace that owns the UTS namespace.
        Kernel: setdomainname(2).
        """
        self._call("setdomainname", name, len(os.fsencode(name)))

    def umask(self, mask: int) -> int:
        """Set which permissions new files of this process don't get; return the old.

        Raises: nothing.
        Needs: nothing.
        Kernel: umask(2).
        """
        return int(self._call("umask", mask))

    def setgroups(self, groups: Sequence[int]) -> None:
        """Set this process's supplementary groups.

        Args: groups [ids in this process's user namespace].
        Raises: EPERM without the capability, or where /proc/PID/setgroups says deny.
        Needs: CAP_SETGID in your user namespace.
        Kernel: setgroups(2).
        """
        self._call("setgroups", groups)

    def setresgid(self, rgid: int, egid: int, sgid: int) -> None:
        """Set this process's real, effective and saved group id.

        Raises: EPERM without the capability, EINVAL for an id that isn't mapped.
        Needs: CAP_SETGID in your user namespace.
        Kernel: setresgid(2).
        """
        self._call("setresgid", rgid, egid, sgid)

    def setresuid(self, ruid: int, euid: int, suid: int) -> None:
        """Set this process's real, effective and saved user id. Clears PDEATHSIG.

        Raises: EPERM without the capability, EINVAL for an id that isn't mapped.
        Needs: CAP_SETUID in your user namespace.
        Kernel: setresuid(2).
        """
        self._call("setresuid", ruid, euid, suid)


class _Pointed:
    # A structure on its way to C by reference, and the text it has in a trace.
    def __init__(
        self, struct: ctypes.Structure | ctypes.Array[cap_data], shown: object
    ):
        self._as_parameter_ = ctypes.byref(struct)
        self._shown = shown

    def __str__(self) -> str:
        return str(self._shown)


def _header() -> _Pointed:
    return _Pointed(cap_header(CAPABILITY_VERSION_3, 0), "{version=3, pid=0}")
