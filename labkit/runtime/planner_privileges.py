"""The planner's part about privileges: capabilities and the filter of system calls."""

from __future__ import annotations

from collections.abc import Iterable

from labkit.errors import DocumentError
from labkit.host import Host
from labkit.linux.flags import CAP
from labkit.linux.privilege_flags import SECCOMP_FILTER_FLAG
from labkit.linux.views import HostPath
from labkit.plan.step import Step
from labkit.primitives.capabilities import DropBounding, SetCapabilities, named
from labkit.primitives.seccomp import (
    EPERM,
    FLAGS,
    CallRule,
    Condition,
    Filter,
    LoadSeccomp,
)
from labkit.primitives.seccomp_compiler import compiled
from labkit.runtime.spec.process import Capabilities
from labkit.runtime.spec.seccomp import Seccomp, SyscallRule

_PLACE = "config.json: /process/capabilities"
_SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")
_KNOWN = frozenset(map(str, CAP))


def bounding_steps(capabilities: Capabilities | None, host: Host) -> list[Step]:
    """Return the step that takes everything else out of reach, if something is."""
    wanted = _set("bounding", capabilities.bounding if capabilities else ())
    known = host.privilege.capabilities | host.privilege.lacks
    dropped = tuple(sorted(known.difference(wanted)))
    return [DropBounding(dropped)] if dropped else []


def capability_steps(capabilities: Capabilities | None) -> list[Step]:
    """Return the step that leaves the process what the spec names, and no more.

    Buildah names ambient capabilities that aren't inheritable. Linux refuses those, and
    all runtimes pass over them.
    """
    asked = capabilities or Capabilities()
    effective, permitted, inheritable, ambient = (
        _set(name, getattr(asked, name))
        for name in ("effective", "permitted", "inheritable", "ambient")
    )
    both = {*permitted} & {*inheritable}
    kept = tuple(one for one in ambient if one in both)
    return [SetCapabilities(effective, permitted, inheritable, kept)]


def seccomp_steps(seccomp: Seccomp | None, kept_in: HostPath | None) -> list[Step]:
    """Return the step that loads the filter; it is compiled now, outside.

    Raises: DocumentError for what can't be compiled.
    """
    if seccomp is None:
        return []
    flags = SECCOMP_FILTER_FLAG(0)
    for name in seccomp.flags:
        if name not in FLAGS:
            known = ", ".join(FLAGS)
            raise DocumentError(
                f"config.json: /linux/seccomp/flags: {name} is no flag",
                f"one of {known}",
            )
        flags |= FLAGS[name]
    return [LoadSeccomp(compiled(_filter(seccomp), kept_in), flags)]


def unknown_capabilities(capabilities: Capabilities | None) -> tuple[str, ...]:
    """Return the names that are no capabilities here.

    The specification wants them told as a warning, and else passed over: a newer engine
    may know more of them.
    """
    asked = capabilities or Capabilities()
    words = {word for name in _SETS for word in getattr(asked, name)}
    return tuple(sorted(word for word in words if word not in _KNOWN))


def _set(name: str, words: Iterable[str]) -> tuple[CAP, ...]:
    return named((word for word in words if word in _KNOWN), f"{_PLACE}/{name}")


def _filter(seccomp: Seccomp) -> Filter:
    return Filter(
        seccomp.default_action,
        _number(seccomp.default_errno_ret),
        seccomp.architectures,
        tuple(map(_rule, seccomp.syscalls)),
    )


def _rule(rule: SyscallRule) -> CallRule:
    conditions = (Condition(a.index, a.op, a.value, a.value_two) for a in rule.args)
    number = _number(rule.errno_ret)
    return CallRule(rule.names, rule.action, number, tuple(conditions))


def _number(errno_ret: int | None) -> int:
    return EPERM if errno_ret is None else errno_ret
