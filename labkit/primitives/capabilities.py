"""Capabilities: root's power in 41 parts, in five sets. Chapter "Privileges".

    bounding      what no program that this process starts can ever have
    permitted     what it may switch on              effective    what is on
    inheritable   what a program with the same marks keeps
    ambient       what any program keeps, of a user who isn't root

    DropBounding(all but these)      while CAP_SETPCAP is still there
    SetUser(uid, gid)                keeps what is permitted until the program
    SetCapabilities(...)             the other four

    after execve, for root:      permitted = bounding
    after execve, for a user:    permitted = ambient

Left out: capabilities of files (setcap(8)), securebits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from labkit.errors import DocumentError
from labkit.linux.flags import CAP, PR
from labkit.linux.structs import CapabilitySets
from labkit.linux.syscalls import Linux
from labkit.plan.step import After, Before, Rule, Step
from labkit.primitives.idmap import AskNewuidmap, DenySetgroups
from labkit.primitives.namespaces import JoinNamespaces
from labkit.primitives.user import SetUser
from labkit.values import dataclass

DOCKER = (
    CAP.CHOWN,
    CAP.DAC_OVERRIDE,
    CAP.FOWNER,
    CAP.FSETID,
    CAP.KILL,
    CAP.SETGID,
    CAP.SETUID,
    CAP.SETPCAP,
    CAP.NET_BIND_SERVICE,
    CAP.NET_RAW,
    CAP.SYS_CHROOT,
    CAP.MKNOD,
    CAP.AUDIT_WRITE,
    CAP.SETFCAP,
)
"""What Docker leaves to root in a container: 14 of 41."""

_AMBIENT_RAISE, _AMBIENT_CLEAR_ALL = 2, 4  # linux/prctl.h, PR_CAP_AMBIENT_...


def named(names: Iterable[str], place: str = "capabilities") -> tuple[CAP, ...]:
    """Return capabilities by their names: "CAP_CHOWN", or "chown".

    Args: names; place [where they stand, for the error].
    Raises: DocumentError for a name that isn't known.
    """
    return tuple(sorted({_named(name, place) for name in names}))


@dataclass(frozen=True, slots=True, repr=False)
class DropBounding(Step):
    """Take capabilities out of reach, for this process and all that it starts.

    Args: dropped.
    Raises: EPERM without the capability; EINVAL for one that this Linux doesn't know.
    Needs: CAP_SETPCAP in your user namespace.
    Kernel: capabilities(7), Capability bounding set; prctl(2), PR_CAPBSET_DROP.
    Spec: OCI runtime, process.capabilities.bounding.
    """

    dropped: tuple[CAP, ...]

    man: ClassVar[tuple[str, ...]] = ("prctl(2)", "capabilities(7)")
    needs: ClassVar[str] = "CAP_SETPCAP in your user namespace"
    rules: ClassVar[tuple[Rule, ...]] = (
        Before(SetUser, "a user who isn't root has no CAP_SETPCAP to do it with"),
    )

    def describe(self) -> str:
        return f"drop {len(self.dropped)} capabilities from the bounding set"

    def apply(self, linux: Linux) -> int | None:
        for capability in self.dropped:
            linux.prctl(PR.CAPBSET_DROP, capability)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class SetCapabilities(Step):
    """Set what this process may do, down to these capabilities.

    The ambient set last, because it takes only what is permitted and inheritable.

    Args: effective, permitted, inheritable, ambient.
    Raises: EPERM for one that isn't permitted now.
    Needs: each of them; CAP_SETPCAP for inheritable ones beyond the permitted.
    Kernel: capset(2), capabilities(7); the ambient set since Linux 4.3.
    Spec: OCI runtime, process.capabilities.
    """

    effective: tuple[CAP, ...] = DOCKER
    permitted: tuple[CAP, ...] = DOCKER
    inheritable: tuple[CAP, ...] = ()
    ambient: tuple[CAP, ...] = ()

    man: ClassVar[tuple[str, ...]] = ("capset(2)", "capabilities(7)")
    needs: ClassVar[str] = "the capabilities themselves"
    rules: ClassVar[tuple[Rule, ...]] = (
        After(SetUser, "setresuid clears the effective set of one who was root"),
        After(DropBounding, "without CAP_SETPCAP the bounding set stays as it is"),
    )

    def describe(self) -> str:
        shown = ", ".join(map(str, self.effective)) or "none"
        return f"keep these capabilities: {shown}"

    def apply(self, linux: Linux) -> int | None:
        sets = (self.effective, self.permitted, self.inheritable)
        linux.capset(CapabilitySets(*map(frozenset, sets)))
        linux.prctl(PR.CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
        for capability in self.ambient:
            linux.prctl(PR.CAP_AMBIENT, _AMBIENT_RAISE, capability)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class SetNoNewPrivileges(Step):
    """Let no program that this process starts gain anything: set-uid bits don't count.

    It can't be undone.

    Raises: nothing.
    Needs: nothing.
    Kernel: prctl(2), PR_SET_NO_NEW_PRIVS. Spec: OCI runtime, process.noNewPrivileges.
    """

    man: ClassVar[tuple[str, ...]] = ("prctl(2)",)

    def describe(self) -> str:
        return "set no_new_privs: no program gains anything by its file"

    def apply(self, linux: Linux) -> int | None:
        linux.prctl(PR.SET_NO_NEW_PRIVS, 1)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class SetDumpable(Step):
    """Forbid other processes to look into this one: its memory, its files, its program.

    A process of ours that enters a container is seen there. Without this, another one
    in it opens /proc/PID/exe, and has a writable descriptor of the host's program
    (CVE-2019-5736); or takes over its memory with ptrace. The new program, once there,
    can be looked into again.

    Raises: nothing.
    Needs: nothing.
    Kernel: prctl(2), PR_SET_DUMPABLE; ptrace(2), Ptrace access mode checking.
    Left out: whoever has CAP_SYS_PTRACE over it; for them labkit/runtime/sealed.py.
    """

    man: ClassVar[tuple[str, ...]] = ("prctl(2)", "ptrace(2)")
    rules: ClassVar[tuple[Rule, ...]] = (
        Before(JoinNamespaces, "the first look is possible as soon as it is inside"),
        After(DenySetgroups, "its files in /proc are the host's root's after it"),
        After(AskNewuidmap, "its files in /proc are the host's root's after it"),
    )

    def describe(self) -> str:
        return "let no other process look into this one"

    def apply(self, linux: Linux) -> int | None:
        linux.prctl(PR.SET_DUMPABLE, 0)
        return None


def _named(name: str, place: str) -> CAP:
    word = name.upper().removeprefix("CAP_")
    if word not in CAP.__members__:
        raise DocumentError(
            f"{place}: {name!r} is no capability",
            "write it as in capabilities(7): CAP_NET_ADMIN",
            "capabilities(7)",
        )
    return CAP[word]
