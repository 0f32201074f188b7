"""Flags and kinds, spelled as the kernel's headers spell them.

`str(CLONE.NEWNS | CLONE.NEWPID)` is `CLONE_NEWNS|CLONE_NEWPID`: the type's name is the
prefix, so a traced call reads like strace. Values are from the headers named beside
each type.
"""

from __future__ import annotations

import os
from enum import IntEnum, IntFlag, StrEnum


class _Flag(IntFlag):
    """An IntFlag that prints as C does."""

    def __str__(self) -> str:
        names = [f"{type(self).__name__}_{flag.name}" for flag in self]
        return "|".join(names) or "0"


class CLONE(_Flag):
    """linux/sched.h: what clone3, unshare and setns make new or join."""

    NEWTIME = 0x00000080
    VM = 0x00000100
    FS = 0x00000200
    FILES = 0x00000400
    PIDFD = 0x00001000
    PARENT = 0x00008000
    NEWNS = 0x00020000
    NEWCGROUP = 0x02000000
    NEWUTS = 0x04000000
    NEWIPC = 0x08000000
    NEWUSER = 0x10000000
    NEWPID = 0x20000000
    NEWNET = 0x40000000
    INTO_CGROUP = 0x200000000


class MS(_Flag):
    """sys/mount.h: flags of mount(2)."""

    RDONLY = 1
    NOSUID = 2
    NODEV = 4
    NOEXEC = 8
    SYNCHRONOUS = 16
    REMOUNT = 32
    DIRSYNC = 128
    NOSYMFOLLOW = 256
    NOATIME = 1024
    NODIRATIME = 2048
    BIND = 4096
    MOVE = 8192
    REC = 16384
    UNBINDABLE = 1 << 17
    PRIVATE = 1 << 18
    SLAVE = 1 << 19
    SHARED = 1 << 20
    RELATIME = 1 << 21
    STRICTATIME = 1 << 24


class MNT(_Flag):
    """sys/mount.h: flags of umount2(2)."""

    FORCE = 1
    DETACH = 2
    EXPIRE = 4


class O(_Flag):  # noqa: E742  the header's name
    """fcntl.h: flags of open(2)."""

    WRONLY = os.O_WRONLY
    RDWR = os.O_RDWR
    CREAT = os.O_CREAT
    EXCL = os.O_EXCL
    TRUNC = os.O_TRUNC
    APPEND = os.O_APPEND
    NONBLOCK = os.O_NONBLOCK
    NOCTTY = os.O_NOCTTY
    CLOEXEC = os.O_CLOEXEC
    DIRECTORY = os.O_DIRECTORY
    NOFOLLOW = os.O_NOFOLLOW
    PATH = os.O_PATH


class RESOLVE(_Flag):
    """linux/openat2.h: how openat2(2) walks a path."""

    NO_MAGICLINKS = 0x02
    NO_SYMLINKS = 0x04
    BENEATH = 0x08
    IN_ROOT = 0x10


class OPEN_TREE(_Flag):
    """linux/mount.h: flags of open_tree(2)."""

    CLONE = 1
    EMPTY_PATH = 0x1000  # AT_EMPTY_PATH
    RECURSIVE = 0x8000  # AT_RECURSIVE
    CLOEXEC = os.O_CLOEXEC


class MOVE_MOUNT(_Flag):
    """linux/mount.h: flags of move_mount(2)."""

    F_EMPTY_PATH = 0x4
    T_EMPTY_PATH = 0x40


class MOUNT_ATTR(_Flag):
    """linux/mount.h: attributes of a mount, for fsmount and mount_setattr."""

    RDONLY = 0x1
    NOSUID = 0x2
    NODEV = 0x4
    NOEXEC = 0x8
    NOATIME = 0x10
    STRICTATIME = 0x20
    ATIMES = 0x70  # MOUNT_ATTR__ATIME: all bits of the choice between the three
    NODIRATIME = 0x80
    IDMAP = 0x100000
    NOSYMFOLLOW = 0x200000


class AT(_Flag):
    """linux/fcntl.h: flags of calls that take a directory descriptor and a path."""

    SYMLINK_NOFOLLOW = 0x100
    EMPTY_PATH = 0x1000
    RECURSIVE = 0x8000


class FSCONFIG(IntEnum):
    """linux/mount.h: commands of fsconfig(2)."""

    SET_FLAG = 0
    SET_STRING = 1
    CMD_CREATE = 6

    def __str__(self) -> str:
        return f"FSCONFIG_{self.name}"


class PR(IntEnum):
    """linux/prctl.h: operations of prctl(2)."""

    SET_PDEATHSIG = 1
    SET_DUMPABLE = 4
    SET_KEEPCAPS = 8
    SET_NAME = 15
    CAPBSET_READ = 23
    CAPBSET_DROP = 24
    SET_CHILD_SUBREAPER = 36
    SET_NO_NEW_PRIVS = 38
    GET_NO_NEW_PRIVS = 39
    SET_THP_DISABLE = 41
    CAP_AMBIENT = 47

    def __str__(self) -> str:
        return f"PR_{self.name}"


class CAP(IntEnum):
    """linux/capability.h: what root's power is made of."""

    CHOWN = 0
    DAC_OVERRIDE = 1
    DAC_READ_SEARCH = 2
    FOWNER = 3
    FSETID = 4
    KILL = 5
    SETGID = 6
    SETUID = 7
    SETPCAP = 8
    LINUX_IMMUTABLE = 9
    NET_BIND_SERVICE = 10
    NET_BROADCAST = 11
    NET_ADMIN = 12
    NET_RAW = 13
    IPC_LOCK = 14
    IPC_OWNER = 15
    SYS_MODULE = 16
    SYS_RAWIO = 17
    SYS_CHROOT = 18
    SYS_PTRACE = 19
    SYS_PACCT = 20
    SYS_ADMIN = 21
    SYS_BOOT = 22
    SYS_NICE = 23
    SYS_RESOURCE = 24
    SYS_TIME = 25
    SYS_TTY_CONFIG = 26
    MKNOD = 27
    LEASE = 28
    AUDIT_WRITE = 29
    AUDIT_CONTROL = 30
    SETFCAP = 31
    MAC_OVERRIDE = 32
    MAC_ADMIN = 33
    SYSLOG = 34
    WAKE_ALARM = 35
    BLOCK_SUSPEND = 36
    AUDIT_READ = 37
    PERFMON = 38
    BPF = 39
    CHECKPOINT_RESTORE = 40

    def __str__(self) -> str:
        return f"CAP_{self.name}"


class NamespaceType(StrEnum):
    """The eight kinds of namespace; the value is the OCI runtime spec's word."""

    MOUNT = "mount"
    PID = "pid"
    NETWORK = "network"
    IPC = "ipc"
    UTS = "uts"
    USER = "user"
    CGROUP = "cgroup"
    TIME = "time"

    @property
    def proc(self) -> str:
        """The name of the link in /proc/PID/ns."""
        return {"mount": "mnt", "network": "net"}.get(self.value, self.value)

    @property
    def clone(self) -> CLONE:
        """The flag of unshare(2), clone3(2) and setns(2)."""
        name = {"mount": "NS", "network": "NET"}.get(self.value, self.name)
        return CLONE[f"NEW{name}"]
