"""Flags and kinds of the calls about limits, filters, keys and terminals.

As in flags.py: spelled as the kernel's headers spell them.
"""

from __future__ import annotations

from enum import IntEnum

from labkit.linux.flags import _Flag


class SECCOMP(IntEnum):
    """linux/seccomp.h: operations of seccomp(2)."""

    SET_MODE_FILTER = 1

    def __str__(self) -> str:
        return f"SECCOMP_{self.name}"


class SECCOMP_FILTER_FLAG(_Flag):
    """linux/seccomp.h: flags of seccomp(SECCOMP_SET_MODE_FILTER)."""

    TSYNC = 1
    LOG = 2
    SPEC_ALLOW = 4
    NEW_LISTENER = 8
    WAIT_KILLABLE_RECV = 32


class KEYCTL(IntEnum):
    """linux/keyctl.h: operations of keyctl(2)."""

    JOIN_SESSION_KEYRING = 1
    SETPERM = 5
    DESCRIBE = 6

    def __str__(self) -> str:
        return f"KEYCTL_{self.name}"


class CLOSE_RANGE(_Flag):
    """linux/close_range.h: flags of close_range(2)."""

    UNSHARE = 2
    CLOEXEC = 4


class TIOC(IntEnum):
    """asm-generic/ioctls.h: what ioctl(2) does with a terminal."""

    SCTTY = 0x540E
    SWINSZ = 0x5414
    SPTLCK = 0x40045431
    GPTN = 0x80045430
    GPTPEER = 0x5441

    def __str__(self) -> str:
        return f"TIOC{self.name}"


class RLIMIT(IntEnum):
    """asm-generic/resource.h: what setrlimit(2) limits."""

    CPU = 0
    FSIZE = 1
    DATA = 2
    STACK = 3
    CORE = 4
    RSS = 5
    NPROC = 6
    NOFILE = 7
    MEMLOCK = 8
    AS = 9
    LOCKS = 10
    SIGPENDING = 11
    MSGQUEUE = 12
    NICE = 13
    RTPRIO = 14
    RTTIME = 15

    def __str__(self) -> str:
        return f"RLIMIT_{self.name}"
