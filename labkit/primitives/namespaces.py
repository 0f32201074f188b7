"""Namespaces: what a process may see. All eight kinds. Chapter 04.

    Unshare(CLONE.NEWUTS)        new namespaces for the inside
    JoinNamespaces(pid)          another process's: how exec enters a container
    SetHostname("box")           a first effect that can be seen
    Namespaces.of(pid)           which namespaces a process is in; two can be compared

Reading order: Unshare, SetHostname, Namespaces, JoinNamespaces.
Left out: time offsets (/proc/PID/timens_offsets), persistent namespaces (a bind mount).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from labkit.linux import proc
from labkit.linux.flags import CLONE, NamespaceType
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPid
from labkit.plan.step import After, Requires, Rule, Step
from labkit.text import Text
from labkit.values import dataclass

ALL = (
    CLONE.NEWNS
    | CLONE.NEWPID
    | CLONE.NEWNET
    | CLONE.NEWUTS
    | CLONE.NEWIPC
    | CLONE.NEWCGROUP
)
"""The namespaces that a container started by root gets (no user, no time)."""


@dataclass(frozen=True, slots=True, repr=False)
class Unshare(Step):
    """Move the inside into new namespaces.

    A new PID or time namespace is entered by children only: Fork() after it. A new
    mount namespace starts as a copy of the old one, shared mounts included.

    Args: flags [CLONE.NEWNS and so on, joined by |].
    Raises: EPERM without the capability, ENOSPC at the limit on namespaces.
    Needs: CAP_SYS_ADMIN in your user namespace, except with CLONE.NEWUSER.
    Kernel: unshare(2), namespaces(7). Spec: OCI runtime, linux.namespaces.
    """

    flags: CLONE

    man: ClassVar[tuple[str, ...]] = ("unshare(2)", "namespaces(7)")
    needs: ClassVar[str] = (
        "CAP_SYS_ADMIN in your user namespace, except with CLONE_NEWUSER"
    )

    def describe(self) -> str:
        kinds = [kind.value for kind in NamespaceType if kind.clone & self.flags]
        return f"new namespaces: {', '.join(kinds)}"

    def apply(self, linux: Linux) -> int | None:
        linux.unshare(self.flags)
        return None

    def covers(self, example: Step) -> bool:
        """Say whether it makes at least the namespaces of an example."""
        return (
            isinstance(example, Unshare) and example.flags & self.flags == example.flags
        )


@dataclass(frozen=True, slots=True, repr=False)
class SetHostname(Step):
    """Set the host name in the inside's UTS namespace.

    Args: name [at most 64 bytes].
    Raises: EPERM without the capability, EINVAL for a name that is too long.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the UTS namespace.
    Kernel: sethostname(2), uts_namespaces(7). Spec: OCI runtime, hostname.
    """

    name: str

    man: ClassVar[tuple[str, ...]] = ("sethostname(2)", "uts_namespaces(7)")
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the owner of the UTS namespace"

    def describe(self) -> str:
        return f"set the host name to {self.name}"

    def apply(self, linux: Linux) -> int | None:
        linux.sethostname(self.name)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class JoinNamespaces(Step):
    """Enter the namespaces of another process, as `docker exec` does.

    One setns with a pidfd enters them all at once; Fork() after it to be in its PID
    namespace.

    Args: pid [host pid of a process in them]; flags [which kinds].
    Raises: ESRCH when it has ended, EPERM without the capability.
    Needs: CAP_SYS_ADMIN in the user namespaces that own them.
    Kernel: setns(2); a pidfd since Linux 5.8.
    """

    pid: HostPid
    flags: CLONE = ALL

    man: ClassVar[tuple[str, ...]] = ("setns(2)", "pidfd_open(2)")
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the owners of the namespaces"

    def describe(self) -> str:
        kinds = [kind.value for kind in NamespaceType if kind.clone & self.flags]
        return f"join the container's namespaces: {', '.join(kinds)}"

    def apply(self, linux: Linux) -> int | None:
        pidfd = linux.pidfd_open(self.pid)
        linux.setns(pidfd, self.flags)
        linux.close(pidfd)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class JoinNamespace(Step):
    """Enter the namespace that a path leads to: another container's, or a kept one.

    Args: path [host path: /proc/PID/ns/net, or a bind mount of one]; kind [which kind
        it must be].
    Raises: ENOENT for a missing path, EINVAL when it is of another kind, EPERM without
        the capability.
    Needs: CAP_SYS_ADMIN in the user namespace that owns it, and in yours.
    Kernel: setns(2). Spec: OCI runtime, linux.namespaces, path.
    """

    path: str
    kind: NamespaceType

    man: ClassVar[tuple[str, ...]] = ("setns(2)",)
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the owners of the namespace"

    def describe(self) -> str:
        return f"join the {self.kind.value} namespace of {self.path}"

    def apply(self, linux: Linux) -> int | None:
        fd = linux.open(self.path)
        linux.setns(fd, self.kind.clone)
        linux.close(fd)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class SetDomainname(Step):
    """Set the NIS domain name in the inside's UTS namespace.

    Args: name [at most 64 bytes].
    Raises: EPERM without the capability, EINVAL for a name that is too long.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the UTS namespace.
    Kernel: setdomainname(2). Spec: OCI runtime, domainname.
    """

    name: str

    man: ClassVar[tuple[str, ...]] = ("setdomainname(2)", "uts_namespaces(7)")
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the owner of the UTS namespace"
    rules: ClassVar[tuple[Rule, ...]] = (
        After(Unshare(CLONE.NEWUTS), "before it, the name would be the host's own"),
    )

    def describe(self) -> str:
        return f"set the domain name to {self.name}"

    def apply(self, linux: Linux) -> int | None:
        linux.setdomainname(self.name)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class SetTimeOffsets(Step):
    """Set how much the clocks are ahead in the time namespace that children will enter.

    Args: offsets ["monotonic" or "boottime", seconds, nanoseconds].
    Raises: EACCES once a process has entered it; ERANGE for a time before the boot.
    Needs: CAP_SYS_TIME in the user namespace that owns the time namespace.
    Kernel: time_namespaces(7), since Linux 5.6. Spec: OCI runtime, linux.timeOffsets.
    """

    offsets: tuple[tuple[str, int, int], ...]

    man: ClassVar[tuple[str, ...]] = ("time_namespaces(7)",)
    needs: ClassVar[str] = "CAP_SYS_TIME in the owner of the time namespace"
    rules: ClassVar[tuple[Rule, ...]] = (
        Requires(Unshare(CLONE.NEWTIME), "the first time namespace has no offsets"),
    )

    def describe(self) -> str:
        shown = (f"{clock} {secs}.{nanos:09} s" for clock, secs, nanos in self.offsets)
        return f"set clocks ahead: {', '.join(shown)}"

    def apply(self, linux: Linux) -> int | None:
        lines = "\n".join(" ".join(map(str, row)) for row in self.offsets)
        linux.write_file("/proc/self/timens_offsets", lines)
        return None


SetHostname.rules = (
    After(Unshare(CLONE.NEWUTS), "before it, the name would be the host's own"),
)


@dataclass(frozen=True, slots=True)
class Namespaces(Mapping[NamespaceType, int]):
    """Which namespaces a process is in. `a - b` are the kinds in which two differ.

    The inode numbers are values of the mapping; they never appear in its text.
    """

    inodes: tuple[tuple[NamespaceType, int], ...]

    @classmethod
    def of(cls, pid: int | str = "self") -> Namespaces:
        """Return the namespaces of a process [host pid, or "self"].

        Raises: FileNotFoundError when it has ended; PermissionError for another user's.
        Needs: CAP_SYS_PTRACE for another user's process.
        Kernel: namespaces(7), The /proc/pid/ns/ directory.
        """
        return cls(tuple(proc.namespace_ids(pid).items()))

    def __getitem__(self, kind: NamespaceType) -> int:
        return dict(self.inodes)[kind]

    def __iter__(self) -> Iterator[NamespaceType]:
        return iter(dict(self.inodes))

    def __len__(self) -> int:
        return len(self.inodes)

    def __sub__(self, other: Namespaces) -> frozenset[NamespaceType]:
        return frozenset(kind for kind in self if self[kind] != other.get(kind))

    def __repr__(self) -> str:
        return f"Namespaces({', '.join(self)})"

    def compared(self, other: Namespaces) -> Text:
        """Return a table: for each kind, whether the two processes share it."""
        differ = self - other
        lines = [
            f"{kind.value:8} {'differs' if kind in differ else 'shared'}"
            for kind in self
        ]
        return Text("\n".join(lines))
