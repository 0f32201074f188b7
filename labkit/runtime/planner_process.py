"""The planner's part about the process: what it gives up, and the program."""

from __future__ import annotations

from collections.abc import Iterator

from labkit.errors import DocumentError
from labkit.host import Host
from labkit.linux.privilege_flags import RLIMIT
from labkit.linux.structs import SchedulingAttributes
from labkit.plan.step import Step
from labkit.primitives.capabilities import SetNoNewPrivileges
from labkit.primitives.leftovers import CheckDirectory, CloseOnExec, JoinSessionKeyring
from labkit.primitives.limits import (
    IO_CLASSES,
    PERSONALITIES,
    POLICIES,
    SCHEDULER_FLAGS,
    SetIoPriority,
    SetOomScore,
    SetPersonality,
    SetRlimits,
    SetScheduler,
)
from labkit.primitives.program import FindProgram, RunProgram
from labkit.primitives.program.init import RunUnderInit
from labkit.primitives.root import Chdir
from labkit.primitives.security_label import APPARMOR, SELINUX, SetSecurityLabel
from labkit.primitives.user import GiveStdio, SetUmask, SetUser
from labkit.runtime.planner_privileges import (
    bounding_steps,
    capability_steps,
    seccomp_steps,
)
from labkit.runtime.situation import Situation
from labkit.runtime.spec import Process, Spec
from labkit.runtime.spec.process import Scheduler

_UMASK = 0o022


def early_steps(process: Process | None) -> list[Step]:
    """Return what must be done while the host's proc is there and we are its root."""
    if process is None or process.oom_score_adj is None:
        return []
    return [SetOomScore(process.oom_score_adj)]


def label_steps(process: Process) -> list[Step]:
    """Return what has a security module hold the program to its label."""
    labels = ((APPARMOR, process.apparmor_profile), (SELINUX, process.selinux_label))
    return [SetSecurityLabel(module, label) for module, label in labels if label]


def process_steps(
    process: Process, spec: Spec, host: Host, situation: Situation
) -> list[Step]:
    """Return the steps by which a process becomes who it shall be, and no more.

    Raises: DocumentError for a word that isn't known.
    """
    umask = process.user.umask
    filters = seccomp_steps(spec.linux.seccomp, situation.kept_programs)
    nothing_new = process.no_new_privileges
    return [
        *([JoinSessionKeyring()] if situation.new_keyring else ()),
        CloseOnExec(3 + situation.preserve_fds),
        *_priorities(process, spec),
        SetUmask(_UMASK if umask is None else umask),
        Chdir(process.cwd),
        CheckDirectory(),
        # While it still may: without no_new_privs a filter takes CAP_SYS_ADMIN.
        *(() if nothing_new else filters),
        *bounding_steps(process.capabilities, host),
        *([GiveStdio(process.user.uid)] if process.user.uid else ()),
        _user(process, spec, host),
        *capability_steps(process.capabilities),
        *([SetNoNewPrivileges()] if nothing_new else ()),
        FindProgram(process.args[0], _path(process)),
    ]


def late_filters(process: Process, spec: Spec, situation: Situation) -> list[Step]:
    """Return the filter where it can be loaded after the wait for `start`.

    As late as possible, so that it need not allow what we still do; but before the
    hooks that run inside, because those are to be held by it.
    """
    if not process.no_new_privileges:
        return []
    return seccomp_steps(spec.linux.seccomp, situation.kept_programs)


def program(process: Process, situation: Situation) -> Step:
    """Return the last step: the program."""
    env = tuple(_named(entry) for entry in process.env)
    run = RunUnderInit if situation.init else RunProgram
    return run(process.args, env, process.user.uid)


def check_process(process: Process) -> None:
    """Refuse a process that can't be started.

    Raises: DocumentError.
    """
    if not process.args or not process.args[0]:
        raise DocumentError(
            "config.json: /process/args: is empty", 'name a program, as ["sh"]'
        )


def _named(entry: str) -> tuple[str, str]:
    name, _, value = entry.partition("=")
    return name, value


def _path(process: Process) -> str:
    # The last one counts, as in the environment itself.
    found = dict(map(_named, process.env)).get("PATH")
    return found or "/bin:/usr/bin"


def _user(process: Process, spec: Spec, host: Host) -> Step:
    user = process.user
    if setgroups_denied(spec, host):
        if user.additional_gids:
            raise DocumentError(
                "config.json: /process/user/additionalGids: can't be taken here",
                "leave them out, or map a range of ids with newuidmap",
                meaning="an ordinary user's container is in the groups that she is in",
            )
        return SetUser(user.uid, user.gid, None)
    return SetUser(user.uid, user.gid, user.additional_gids)


def setgroups_denied(spec: Spec, host: Host) -> bool:
    """Say whether the container's user namespace is one without setgroups."""
    ordinary = not host.privilege.root
    return ordinary and len(spec.linux.gid_mappings) <= 1


def _priorities(process: Process, spec: Spec) -> Iterator[Step]:
    if spec.linux.personality:
        yield SetPersonality(PERSONALITIES[spec.linux.personality.domain])
    if process.scheduler:
        yield SetScheduler(_scheduling(process.scheduler))
    if process.io_priority:
        kind = _value(IO_CLASSES, process.io_priority.kind, "ioPriority/class")
        yield SetIoPriority(kind, process.io_priority.priority)
    if process.rlimits:
        limits = (
            (_rlimit(number, one.type), one.soft, one.hard)
            for number, one in enumerate(process.rlimits)
        )
        yield SetRlimits(tuple(limits))


def _rlimit(number: int, name: str) -> RLIMIT:
    word = name.removeprefix("RLIMIT_")
    if word not in RLIMIT.__members__ or word == name:
        known = ", ".join(map(str, RLIMIT))
        raise DocumentError(
            f"config.json: /process/rlimits/{number}/type: {name!r} is no limit",
            f"one of {known}",
        )
    return RLIMIT[word]


def _scheduling(scheduler: Scheduler) -> SchedulingAttributes:
    flags = (_value(SCHEDULER_FLAGS, f, "scheduler/flags") for f in scheduler.flags)
    return SchedulingAttributes(
        _value(POLICIES, scheduler.policy, "scheduler/policy"),
        sum(flags),
        scheduler.nice,
        scheduler.priority,
        scheduler.runtime,
        scheduler.deadline,
        scheduler.period,
    )


def _value(words: dict[str, int], word: str, place: str) -> int:
    if word not in words:
        raise DocumentError(
            f"config.json: /process/{place}: {word!r} is not known",
            f"one of {', '.join(words)}",
        )
    return words[word]
