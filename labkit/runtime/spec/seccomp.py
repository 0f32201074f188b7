"""linux.seccomp: which system calls the container may make.

Spec: config-linux.md, Seccomp.
"""

from __future__ import annotations

from labkit.runtime.spec.node import Node
from labkit.values import dataclass

_ERRNOS = 4095  # asm/errno.h, MAX_ERRNO


@dataclass(frozen=True, slots=True)
class Argument:
    """A condition on one argument of a call."""

    index: int
    value: int
    value_two: int
    op: str

    @classmethod
    def read(cls, node: Node) -> Argument:
        """Read one condition."""
        node.needs("index", "value", "op")
        return cls(
            node.integer("index", 0, 5),
            node.integer("value"),
            node.integer("valueTwo"),
            node.text("op"),
        )


@dataclass(frozen=True, slots=True)
class SyscallRule:
    """What happens at some calls, if all the conditions hold."""

    names: tuple[str, ...]
    action: str
    errno_ret: int | None = None
    args: tuple[Argument, ...] = ()

    @classmethod
    def read(cls, node: Node) -> SyscallRule:
        """Read one rule."""
        node.needs("names", "action")
        return cls(
            node.texts("names"),
            node.text("action"),
            node.number("errnoRet", 0, _ERRNOS),
            node.each("args", Argument.read),
        )


@dataclass(frozen=True, slots=True)
class Seccomp:
    """linux.seccomp: the words of seccomp.h of libseccomp, SCMP_ACT_ERRNO and so on."""

    default_action: str
    default_errno_ret: int | None = None
    architectures: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    listener_path: str = ""
    listener_metadata: str = ""
    syscalls: tuple[SyscallRule, ...] = ()

    @classmethod
    def read(cls, node: Node) -> Seccomp:
        """Read the section."""
        node.needs("defaultAction")
        return cls(
            node.text("defaultAction"),
            node.number("defaultErrnoRet", 0, _ERRNOS),
            node.texts("architectures"),
            node.texts("flags"),
            node.text("listenerPath"),
            node.text("listenerMetadata"),
            node.each("syscalls", SyscallRule.read),
        )
