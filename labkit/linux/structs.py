"""The few structures that system calls take, as ctypes sees them."""

from __future__ import annotations

import ctypes
import os

from labkit.linux.flags import CAP, CLONE, MOUNT_ATTR, MS, RESOLVE, O
from labkit.values import dataclass


class clone_args(ctypes.Structure):
    """linux/sched.h, struct clone_args: the argument of clone3(2)."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack",
            "stack_size", "tls", "set_tid", "set_tid_size", "cgroup",
        )
    ]  # fmt: skip


class mount_attr(ctypes.Structure):
    """linux/mount.h, struct mount_attr: the argument of mount_setattr(2)."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in ("attr_set", "attr_clr", "propagation", "userns_fd")
    ]


class open_how(ctypes.Structure):
    """linux/openat2.h, struct open_how: the argument of openat2(2)."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("flags", "mode", "resolve")]


class rlimit(ctypes.Structure):
    """sys/resource.h, struct rlimit: the argument of setrlimit(2)."""

    _fields_ = [("soft", ctypes.c_uint64), ("hard", ctypes.c_uint64)]


class sock_fprog(ctypes.Structure):
    """linux/filter.h, struct sock_fprog: the argument of seccomp(2)."""

    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


class sched_attr(ctypes.Structure):
    """linux/sched/types.h, struct sched_attr: the argument of sched_setattr(2)."""

    _fields_ = [
        ("size", ctypes.c_uint32), ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64), ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32), ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64), ("period", ctypes.c_uint64),
    ]  # fmt: skip


class cap_header(ctypes.Structure):
    """linux/capability.h, struct __user_cap_header_struct."""

    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class cap_data(ctypes.Structure):
    """linux/capability.h, struct __user_cap_data_struct; version 3 takes two."""

    _fields_ = [
        (name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")
    ]


CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h, _LINUX_CAPABILITY_VERSION_3


@dataclass(frozen=True, slots=True)
class CloneArgs:
    """What clone3(2) makes new, in which cgroup (a directory's descriptor)."""

    flags: CLONE
    exit_signal: int
    cgroup_fd: int | None = None

    def __str__(self) -> str:
        return f"{{flags={self._all_flags}, exit_signal={self.exit_signal}}}"

    def as_struct(self) -> clone_args:
        """Return what goes to clone3(2)."""
        return clone_args(
            flags=self._all_flags,
            exit_signal=self.exit_signal,
            cgroup=self.cgroup_fd or 0,
        )

    @property
    def _all_flags(self) -> CLONE:
        if self.cgroup_fd is None:
            return self.flags
        return self.flags | CLONE.INTO_CGROUP


@dataclass(frozen=True, slots=True)
class MountAttributes:
    """What mount_setattr(2) sets and clears on a mount."""

    attr_set: MOUNT_ATTR = MOUNT_ATTR(0)
    attr_clr: MOUNT_ATTR = MOUNT_ATTR(0)
    propagation: MS = MS(0)
    userns_fd: int = 0  # whose map MOUNT_ATTR.IDMAP takes

    def __str__(self) -> str:
        return (
            f"{{attr_set={self.attr_set}, attr_clr={self.attr_clr}, "
            f"propagation={self.propagation}}}"
        )

    def as_struct(self) -> mount_attr:
        """Return what goes to mount_setattr(2)."""
        parts = (self.attr_set, self.attr_clr, self.propagation, self.userns_fd)
        return mount_attr(*parts)


@dataclass(frozen=True, slots=True)
class OpenHow:
    """How openat2(2) opens: flags as for open(2), and how it walks the path."""

    flags: O = O(0)
    mode: int = 0
    resolve: RESOLVE = RESOLVE(0)

    def __str__(self) -> str:
        return f"{{flags={self.flags}, resolve={self.resolve}}}"

    def as_struct(self) -> open_how:
        """Return what goes to openat2(2); the descriptor will be close-on-exec."""
        return open_how(self.flags | os.O_CLOEXEC, self.mode, self.resolve)


@dataclass(frozen=True, slots=True)
class Program:
    """A BPF program of the classic kind: eight bytes an instruction."""

    instructions: bytes

    def __str__(self) -> str:
        return f"{{{len(self.instructions) // 8} instructions}}"

    def as_struct(self) -> sock_fprog:
        """Return what goes to seccomp(2)."""
        return sock_fprog(len(self.instructions) // 8, self.instructions)


@dataclass(frozen=True, slots=True)
class SchedulingAttributes:
    """What sched_setattr(2) sets; times in nanoseconds."""

    policy: int
    flags: int = 0
    nice: int = 0
    priority: int = 0
    runtime: int = 0
    deadline: int = 0
    period: int = 0

    def __str__(self) -> str:
        return f"{{policy={self.policy}, nice={self.nice}, priority={self.priority}}}"

    def as_struct(self) -> sched_attr:
        """Return what goes to sched_setattr(2)."""
        values = (getattr(self, name) for name in self.__slots__)
        return sched_attr(ctypes.sizeof(sched_attr), *values)


@dataclass(frozen=True, slots=True)
class CapabilitySets:
    """The three sets that capget(2) and capset(2) carry."""

    effective: frozenset[CAP]
    permitted: frozenset[CAP]
    inheritable: frozenset[CAP]

    def __str__(self) -> str:
        names = ("effective", "permitted", "inheritable")
        return f"{{{', '.join(f'{n}={len(getattr(self, n))} caps' for n in names)}}}"

    def as_struct(self) -> ctypes.Array[cap_data]:
        """Return what goes to capset(2): two halves of 32 bits."""
        sets = [
            sum(1 << cap for cap in group)
            for group in (self.effective, self.permitted, self.inheritable)
        ]
        low = cap_data(*(bits & 0xFFFFFFFF for bits in sets))
        high = cap_data(*(bits >> 32 for bits in sets))
        return (cap_data * 2)(low, high)

    @classmethod
    def from_struct(cls, pair: ctypes.Array[cap_data]) -> CapabilitySets:
        def caps(name: str) -> frozenset[CAP]:
            bits = getattr(pair[0], name) | getattr(pair[1], name) << 32
            return frozenset(cap for cap in CAP if bits >> cap & 1)

        return cls(caps("effective"), caps("permitted"), caps("inheritable"))
