"""Seccomp: a program that Linux asks at each system call. Chapter "Privileges".

    program = compiled(Filter("SCMP_ACT_ERRNO", rules=(...)))     outside, once
    LoadSeccomp(program)                                          inside, one call

    mount(2) --> the program: number, arguments, architecture --> ALLOW
                                                                  ERRNO: EPERM
                                                                  KILL ...

A list of four hundred names becomes BPF by libseccomp, which knows each machine's
numbers. The step holds the finished bytes: loading them takes one call, and they can be
kept (`seccomp_compiler`).

Reading order: the words, Filter, LoadSeccomp.
Left out: SCMP_ACT_NOTIFY, where another process answers.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import ClassVar, NamedTuple

from labkit.linux.privilege_flags import SECCOMP, SECCOMP_FILTER_FLAG
from labkit.linux.structs import Program
from labkit.linux.syscalls import Linux
from labkit.plan.step import After, Rule, Step
from labkit.primitives.capabilities import SetNoNewPrivileges
from labkit.values import dataclass

# seccomp.h of libseccomp. Those that take a number have it in their lower 16 bits.
ACTIONS = MappingProxyType(
    {
        "SCMP_ACT_KILL": 0x00000000,
        "SCMP_ACT_KILL_PROCESS": 0x80000000,
        "SCMP_ACT_KILL_THREAD": 0x00000000,
        "SCMP_ACT_TRAP": 0x00030000,
        "SCMP_ACT_ERRNO": 0x00050000,
        "SCMP_ACT_TRACE": 0x7FF00000,
        "SCMP_ACT_LOG": 0x7FFC0000,
        "SCMP_ACT_ALLOW": 0x7FFF0000,
    }
)
WITH_NUMBER = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
OPERATORS = MappingProxyType(
    {
        "SCMP_CMP_NE": 1,
        "SCMP_CMP_LT": 2,
        "SCMP_CMP_LE": 3,
        "SCMP_CMP_EQ": 4,
        "SCMP_CMP_GE": 5,
        "SCMP_CMP_GT": 6,
        "SCMP_CMP_MASKED_EQ": 7,
    }
)
# The names that libseccomp gives them.
ARCHITECTURES = MappingProxyType(
    {
        f"SCMP_ARCH_{name.upper()}": name
        for name in (
            "x86", "x86_64", "x32", "arm", "aarch64", "mips", "mips64", "mips64n32",
            "mipsel", "mipsel64", "mipsel64n32", "ppc", "ppc64", "ppc64le", "s390",
            "s390x", "riscv64", "parisc", "parisc64",
        )
    }
)  # fmt: skip
FLAGS = MappingProxyType(
    {
        "SECCOMP_FILTER_FLAG_TSYNC": SECCOMP_FILTER_FLAG.TSYNC,
        "SECCOMP_FILTER_FLAG_LOG": SECCOMP_FILTER_FLAG.LOG,
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW": SECCOMP_FILTER_FLAG.SPEC_ALLOW,
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": (
            SECCOMP_FILTER_FLAG.WAIT_KILLABLE_RECV
        ),
    }
)
EPERM = 1


class Condition(NamedTuple):
    """What one argument of a call must be; `second` counts for SCMP_CMP_MASKED_EQ."""

    argument: int  # 0 to 5
    operator: str
    value: int
    second: int = 0


class CallRule(NamedTuple):
    """What happens at some calls when all conditions hold."""

    names: tuple[str, ...]
    action: str
    number: int = EPERM
    conditions: tuple[Condition, ...] = ()


class Filter(NamedTuple):
    """A whole filter, before it is compiled."""

    default: str
    number: int = EPERM
    architectures: tuple[str, ...] = ()
    rules: tuple[CallRule, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class LoadSeccomp(Step):
    """Have Linux ask a program at each system call of this process, for ever.

    Args: program [what `compiled` returned]; flags.
    Raises: EACCES without no_new_privs or the capability; EINVAL for no program.
    Needs: no_new_privs, or CAP_SYS_ADMIN in your user namespace.
    Kernel: seccomp(2), SECCOMP_SET_MODE_FILTER. Spec: OCI runtime, linux.seccomp.
    """

    program: bytes
    flags: SECCOMP_FILTER_FLAG = SECCOMP_FILTER_FLAG(0)

    man: ClassVar[tuple[str, ...]] = ("seccomp(2)", "bpf(2)")
    needs: ClassVar[str] = "no_new_privs, or CAP_SYS_ADMIN in your user namespace"
    rules: ClassVar[tuple[Rule, ...]] = (
        After(SetNoNewPrivileges, "with it, loading a filter takes no capability"),
    )

    def describe(self) -> str:
        return f"filter system calls: {len(self.program) // 8} instructions"

    def apply(self, linux: Linux) -> int | None:
        linux.seccomp(SECCOMP.SET_MODE_FILTER, self.flags, Program(self.program))
        return None

    def __repr__(self) -> str:
        return f"LoadSeccomp({len(self.program) // 8} instructions)"
