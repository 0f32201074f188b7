"""Limits and priorities of one process, and of what it starts. Chapter "Privileges".

    SetRlimits(((RLIMIT.NOFILE, 1024, 1024),))    how much of each kind it may take
    SetOomScore(500)                              how readily it is killed for memory
    SetScheduler(...), SetIoPriority(...)         its share of processors and disks
    SetPersonality(0)                             which machine uname(2) tells it of

A cgroup limits many processes together; these are older, and count each by itself.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.linux.flags import CLONE
from labkit.linux.privilege_flags import RLIMIT
from labkit.linux.structs import SchedulingAttributes
from labkit.linux.syscalls import Linux
from labkit.plan.step import Before, Rule, Step
from labkit.primitives.namespaces import Unshare
from labkit.primitives.root import PivotRoot
from labkit.primitives.user import SetUser
from labkit.values import dataclass

NO_LIMIT = 2**64 - 1
POLICIES = {
    "SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_ISO": 4,
    "SCHED_IDLE": 5, "SCHED_DEADLINE": 6,
}  # fmt: skip
SCHEDULER_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 1, "SCHED_FLAG_RECLAIM": 2, "SCHED_FLAG_DL_OVERRUN": 4,
    "SCHED_FLAG_KEEP_POLICY": 8, "SCHED_FLAG_KEEP_PARAMS": 16,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 32, "SCHED_FLAG_UTIL_CLAMP_MAX": 64,
}  # fmt: skip
IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
PERSONALITIES = {"LINUX": 0, "LINUX32": 8}
_CLASS_SHIFT = 13  # linux/ioprio.h


@dataclass(frozen=True, slots=True, repr=False)
class SetRlimits(Step):
    """Limit what a process, and each that it starts, may take of some resources.

    Args: limits [resource, soft, hard; NO_LIMIT for none].
    Raises: EPERM when a hard limit would grow.
    Needs: CAP_SYS_RESOURCE in the first user namespace, to raise a hard limit.
    Kernel: setrlimit(2). Spec: OCI runtime, process.rlimits.
    """

    limits: tuple[tuple[RLIMIT, int, int], ...]

    man: ClassVar[tuple[str, ...]] = ("setrlimit(2)",)
    needs: ClassVar[str] = "CAP_SYS_RESOURCE, to raise a hard limit"
    rules: ClassVar[tuple[Rule, ...]] = (
        Before(SetUser, "a user who isn't root can't raise what was lower"),
    )

    def describe(self) -> str:
        shown = (f"{kind} {_amount(soft)}" for kind, soft, _ in self.limits)
        return f"limit {', '.join(shown)}"

    def apply(self, linux: Linux) -> int | None:
        for resource, soft, hard in self.limits:
            linux.setrlimit(resource, soft, hard)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class SetOomScore(Step):
    """Set how readily Linux kills this process, and its children, when memory is short.

    Args: score [-1000 never, to 1000 first].
    Raises: EACCES when it would be less readily than before.
    Needs: CAP_SYS_RESOURCE to lower it.
    Kernel: proc_pid_oom_score_adj(5). Spec: OCI runtime, process.oomScoreAdj.
    """

    score: int

    man: ClassVar[tuple[str, ...]] = ("proc_pid_oom_score_adj(5)",)
    needs: ClassVar[str] = "CAP_SYS_RESOURCE, to lower it"
    rules: ClassVar[tuple[Rule, ...]] = (
        Before(Unshare(CLONE.NEWUSER), "the file belongs to the host's root after it"),
        Before(PivotRoot, "the host's proc is the one that surely is there"),
    )

    def describe(self) -> str:
        return f"set the OOM score to {self.score}"

    def apply(self, linux: Linux) -> int | None:
        linux.write_file("/proc/self/oom_score_adj", str(self.score))
        return None


@dataclass(frozen=True, slots=True, repr=False)
class SetScheduler(Step):
    """Set how this process, and its children, share the processors.

    Args: attributes.
    Raises: EPERM without the capability, EINVAL, EBUSY when there isn't that much.
    Needs: CAP_SYS_NICE, except to become less important.
    Kernel: sched_setattr(2), sched(7). Spec: OCI runtime, process.scheduler.
    """

    attributes: SchedulingAttributes

    man: ClassVar[tuple[str, ...]] = ("sched_setattr(2)", "sched(7)")
    needs: ClassVar[str] = "CAP_SYS_NICE, except to become less important"

    def describe(self) -> str:
        return f"schedule it as {self.attributes}"

    def apply(self, linux: Linux) -> int | None:
        linux.sched_setattr(self.attributes)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class SetIoPriority(Step):
    """Set this process's priority at the disk.

    Args: kind [a value of IO_CLASSES]; level [0 first, to 7 last].
    Raises: EPERM for the real-time class, EINVAL.
    Needs: CAP_SYS_NICE or CAP_SYS_ADMIN for the real-time class.
    Kernel: ioprio_set(2). Spec: OCI runtime, process.ioPriority.
    """

    kind: int
    level: int

    man: ClassVar[tuple[str, ...]] = ("ioprio_set(2)",)
    needs: ClassVar[str] = "CAP_SYS_NICE for the real-time class"

    def describe(self) -> str:
        return f"set the I/O priority to class {self.kind}, level {self.level}"

    def apply(self, linux: Linux) -> int | None:
        linux.ioprio_set(self.kind << _CLASS_SHIFT | self.level)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class SetPersonality(Step):
    """Set which machine uname(2) tells this process of.

    Args: persona [a value of PERSONALITIES].
    Raises: EINVAL.
    Needs: nothing.
    Kernel: personality(2). Spec: OCI runtime, linux.personality.
    """

    persona: int

    man: ClassVar[tuple[str, ...]] = ("personality(2)",)

    def describe(self) -> str:
        return f"set the personality to {self.persona}"

    def apply(self, linux: Linux) -> int | None:
        linux.personality(self.persona)
        return None


def _amount(limit: int) -> str:
    return "none" if limit == NO_LIMIT else str(limit)
