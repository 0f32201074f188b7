"""System calls about what a process may do. Chapter "Privileges".

Ids and capabilities are in processes.py; here are limits, filters, keys and priorities.
"""

from __future__ import annotations

import ctypes

from labkit.linux.call import Caller
from labkit.linux.privilege_flags import (
    KEYCTL,
    RLIMIT,
    SECCOMP,
    SECCOMP_FILTER_FLAG,
)
from labkit.linux.processes import _Pointed
from labkit.linux.structs import Program, SchedulingAttributes, rlimit

_NO_FLAGS = SECCOMP_FILTER_FLAG(0)
_WHO_PROCESS = 1  # linux/ioprio.h, IOPRIO_WHO_PROCESS


class Privileges(Caller):
    """The part of `linux` that is about a process's limits, filters and keys."""

    def setrlimit(self, resource: RLIMIT, soft: int, hard: int) -> None:
        """Limit what this process, and what it starts, may take.

        Args: soft, hard [2**64 - 1 is no limit].
        Raises: EPERM when hard would grow, EINVAL for soft above hard.
        Needs: CAP_SYS_RESOURCE in the first user namespace, to raise a hard limit.
        Kernel: setrlimit(2).
        """
        struct = rlimit(soft, hard)
        shown = f"{{soft={soft}, hard={hard}}}"
        self._call("setrlimit", resource, _Pointed(struct, shown))

    def seccomp(
        self, operation: SECCOMP, flags: SECCOMP_FILTER_FLAG, program: Program
    ) -> int:
        """Install a filter of system calls, for ever; return a listener's descriptor.

        Args: program [BPF]; flags [NEW_LISTENER asks for a descriptor].
        Raises: EACCES without no_new_privs or the capability, EINVAL for a program that
            isn't right.
        Needs: no_new_privs, or CAP_SYS_ADMIN in your user namespace.
        Kernel: seccomp(2), since Linux 3.17.
        """
        pointed = _Pointed(program.as_struct(), program)
        return int(self._call("seccomp", operation, flags, pointed))

    def keyctl(self, operation: KEYCTL, first: int = 0, second: int = 0) -> int:
        """Change or ask about this process's keys.

        Raises: EDQUOT at the user's limit on keys, ENOSYS where Linux has none.
        Needs: nothing for one's own keyrings.
        Kernel: keyctl(2), keyrings(7).
        """
        return int(self._call("keyctl", operation, first, second))

    def personality(self, persona: int) -> int:
        """Set which system this process takes Linux for; return what it was.

        Raises: EINVAL.
        Needs: nothing.
        Kernel: personality(2).
        """
        return int(self._call("personality", persona))

    def ioprio_set(self, priority: int) -> None:
        """Set this process's priority at the disk.

        Args: priority [class << 13 | level].
        Raises: EPERM for the real-time class, EINVAL.
        Needs: CAP_SYS_NICE or CAP_SYS_ADMIN for the real-time class.
        Kernel: ioprio_set(2).
        """
        self._call("ioprio_set", _WHO_PROCESS, 0, priority)

    def sched_setattr(self, attributes: SchedulingAttributes) -> None:
        """Set how this process shares the processors.

        Raises: EPERM without the capability, EINVAL, EBUSY when there isn't that much.
        Needs: CAP_SYS_NICE, except to become less important.
        Kernel: sched_setattr(2), sched(7).
        """
        pointed = _Pointed(attributes.as_struct(), attributes)
        self._call("sched_setattr", 0, pointed, 0)

    def bpf(self, command: int, attributes: ctypes.Structure, shown: str) -> int:
        """Load a BPF program or attach it; return a descriptor, or 0.

        Raises: EPERM without the capability, EINVAL, EACCES when the verifier refuses.
        Needs: CAP_BPF, and CAP_NET_ADMIN for a cgroup's programs; or CAP_SYS_ADMIN.
        Kernel: bpf(2).
        """
        size = ctypes.sizeof(attributes)
        return int(self._call("bpf", command, _Pointed(attributes, shown), size))
