"""Device rules: which devices a cgroup's processes may use. Chapter 03.

    DeviceRule(allow=False)                     all are forbidden ...
    DeviceRule(True, "c", 1, 3, "rwm")          ... but /dev/null

    v1   AllowDevices     a line for each rule, into devices.allow and devices.deny
    v2   FilterDevices    a BPF program that Linux asks at each open and mknod

Whoever may call mknod can make the name of any disk; these rules decide whether opening
it leads to the driver. The last rule that fits counts.

Reading order: DeviceRule, DEFAULTS, AllowDevices, FilterDevices, program.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import ClassVar, NamedTuple

from labkit.linux.flags import O
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath
from labkit.plan.step import After, Rule, Step, Where
from labkit.primitives.cgroups.place import MakeCgroup
from labkit.values import dataclass


class DeviceRule(NamedTuple):
    """Whether devices may be read (r), written (w), made (m); None is any number."""

    allow: bool
    kind: str = "a"  # a: all; b: block; c: character
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"

    @property
    def everything(self) -> bool:
        """Whether it is about every device and every access."""
        return self[1:] == ("a", None, None, "rwm")

    @property
    def lines(self) -> tuple[str, ...]:
        """The rule as devices.allow and devices.deny take it; "a" is everything."""
        if self.everything:
            return ("a",)
        numbers = ("*" if n is None else str(n) for n in (self.major, self.minor))
        rest = f"{':'.join(numbers)} {self.access}"
        return tuple(f"{k} {rest}" for k in ("bc" if self.kind == "a" else self.kind))


DEFAULTS = (
    DeviceRule(True, "c", None, None, "m"),  # names without drivers do no harm
    DeviceRule(True, "b", None, None, "m"),
    DeviceRule(True, "c", 1, 3),  # null
    DeviceRule(True, "c", 1, 5),  # zero
    DeviceRule(True, "c", 1, 7),  # full
    DeviceRule(True, "c", 1, 8),  # random
    DeviceRule(True, "c", 1, 9),  # urandom
    DeviceRule(True, "c", 5, 0),  # tty
    DeviceRule(True, "c", 5, 1),  # console
    DeviceRule(True, "c", 5, 2),  # ptmx
    DeviceRule(True, "c", 136, None),  # the terminals of devpts
)
"""What every container may use: moby and runc have the same list."""

_RULES: tuple[Rule, ...] = (After(MakeCgroup, "there are no files before it"),)


@dataclass(frozen=True, slots=True, repr=False)
class AllowDevices(Step):
    """Write a v1 cgroup's device rules, from outside.

    Args: directory [host path, in the tree of the devices controller]; rules.
    Raises: EPERM for a device that the group above may not use.
    Needs: CAP_SYS_ADMIN.
    Kernel: Documentation/admin-guide/cgroup-v1/devices.rst.
    Spec: OCI runtime, linux.resources.devices.
    """

    directory: HostPath
    rules_of_devices: tuple[DeviceRule, ...]

    where: ClassVar[Where] = Where.OUTSIDE
    man: ClassVar[tuple[str, ...]] = ("cgroups(7)",)
    needs: ClassVar[str] = "CAP_SYS_ADMIN"
    rules: ClassVar[tuple[Rule, ...]] = _RULES

    def describe(self) -> str:
        return _shown(self.rules_of_devices)

    def apply(self, linux: Linux) -> int | None:
        # Those of one kind that follow one another go through one open file.
        for allow, rules in groupby(self.rules_of_devices, attrgetter("allow")):
            file = "devices.allow" if allow else "devices.deny"
            lines = [line for rule in rules for line in rule.lines]
            linux.write_file(f"{self.directory}/{file}", *lines)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class FilterDevices(Step):
    """Attach a v2 cgroup's device program, from outside.

    Args: directory [host path of the group]; rules.
    Raises: EPERM without the capabilities, EINVAL where Linux lacks CONFIG_CGROUP_BPF.
    Needs: CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, in the first user namespace.
    Kernel: bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE, since Linux 4.15.
    Spec: OCI runtime, linux.resources.devices.
    """

    directory: HostPath
    rules_of_devices: tuple[DeviceRule, ...]

    where: ClassVar[Where] = Where.OUTSIDE
    man: ClassVar[tuple[str, ...]] = ("bpf(2)",)
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the first user namespace"
    rules: ClassVar[tuple[Rule, ...]] = _RULES

    def describe(self) -> str:
        return _shown(self.rules_of_devices)

    def apply(self, linux: Linux) -> int | None:
        loaded = _Load.of(program(self.rules_of_devices))
        program_fd = linux.bpf(_PROG_LOAD, loaded, "{BPF_PROG_TYPE_CGROUP_DEVICE}")
        cgroup_fd = linux.open(self.directory, O.DIRECTORY)
        attached = _Attach(cgroup_fd, program_fd, _CGROUP_DEVICE, _ALLOW_MULTI)
        linux.bpf(_PROG_ATTACH, attached, "{BPF_CGROUP_DEVICE}")
        linux.close(cgroup_fd)
        linux.close(program_fd)
        return None


def program(rules: Iterable[DeviceRule]) -> bytes:
    """Return the BPF program that decides as the rules do; without a rule: forbidden.

    Linux asks it with a structure: kind and access in one word, major, minor.
    """
    # r1 is the structure; r2: kind, r3: access, r4: major, r5: minor.
    head = (
        _load(2, 0), _and(2, 0xFFFF),
        _load(3, 0), _shift_right(3, 16),
        _load(4, 4), _load(5, 8),
    )  # fmt: skip
    blocks = []
    for rule in reversed(tuple(rules)):
        blocks.append(_block(rule))
        if rule.everything:
            break  # always answers: Linux refuses a program with a part never reached
    else:
        blocks.append(_answer(0))
    return b"".join((*head, *blocks))


# --- linux/bpf.h and the few instructions that are used

_PROG_LOAD, _PROG_ATTACH = 5, 8
_TYPE_CGROUP_DEVICE, _CGROUP_DEVICE, _ALLOW_MULTI = 15, 6, 2
_KINDS = {"b": 1, "c": 2, "u": 2}  # BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_DEV_CHAR
_ACCESS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_...
_EVERY_ACCESS = 7


class _Load(ctypes.Structure):
    _fields_ = [
        ("prog_type", ctypes.c_uint32), ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_char_p), ("license", ctypes.c_char_p),
        ("log_level", ctypes.c_uint32), ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_uint64), ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
    ]  # fmt: skip

    @classmethod
    def of(cls, code: bytes) -> _Load:
        return cls(_TYPE_CGROUP_DEVICE, len(code) // 8, code, b"Apache")


class _Attach(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint32)
        for name in ("target_fd", "attach_bpf_fd", "attach_type", "attach_flags")
    ]


def _instruction(code: int, registers: int, jump: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhi", code, registers, jump, value)


def _load(register: int, offset: int) -> bytes:
    return _instruction(0x61, register | 1 << 4, offset)  # ldxw rN, [r1 + offset]


def _and(register: int, value: int) -> bytes:
    return _instruction(0x54, register, 0, value)  # and32


def _shift_right(register: int, bits: int) -> bytes:
    return _instruction(0x74, register, 0, bits)  # rsh32


def _skip_unless(register: int, value: int, over: int) -> bytes:
    return _instruction(0x56, register, over, value)  # jne32


def _skip_if(register: int, value: int, over: int) -> bytes:
    return _instruction(0x16, register, over, value)  # jeq32


def _answer(value: int) -> bytes:
    return _instruction(0xB4, 0, 0, value) + _instruction(0x95, 0)  # mov32 r0; exit


def _block(rule: DeviceRule) -> bytes:
    # The tests of one rule; each that fails jumps to the next rule's first.
    tests: list[tuple[int, int]] = []
    if rule.kind != "a":
        tests.append((2, _KINDS[rule.kind]))
    tests += [(4, rule.major)] if rule.major is not None else []
    tests += [(5, rule.minor)] if rule.minor is not None else []
    code = _answer(int(rule.allow))
    code = _test_of_access(rule, len(code) // 8) + code
    for register, value in reversed(tests):
        code = _skip_unless(register, value, len(code) // 8) + code
    return code


def _test_of_access(rule: DeviceRule, over: int) -> bytes:
    wanted = sum(_ACCESS[letter] for letter in set(rule.access))
    if wanted == _EVERY_ACCESS:
        return b""
    copied = _instruction(0xBC, 0 | 3 << 4)  # mov32 r0, r3
    if rule.allow:  # what is asked for is all in the rule
        return copied + _and(0, _EVERY_ACCESS & ~wanted) + _skip_unless(0, 0, over)
    return copied + _and(0, wanted) + _skip_if(0, 0, over)  # some of it is in the rule


def _shown(rules: tuple[DeviceRule, ...]) -> str:
    words = [f"{'allow' if r.allow else 'deny'} {', '.join(r.lines)}" for r in rules]
    more = f" and {len(words) - 2} more" if len(words) > 2 else ""
    return f"device rules: {', '.join(words[:2])}{more}"
