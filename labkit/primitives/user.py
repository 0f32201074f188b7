"""Who a process is: user, groups, umask, as it sees itself. Chapter "Privileges".

    SetUser(uid, gid, groups)     root gives itself up, and can't come back
    SetUmask(0o022)

Names become numbers in accounts.py.
Left out: filesystem ids (setfsuid(2)), which follow the effective ones.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.linux.flags import PR
from labkit.linux.syscalls import Linux
from labkit.plan.step import Step
from labkit.values import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class SetUser(Step):
    """Take a user, a group and supplementary groups; all of root's ids are gone then.

    Groups before the user, because a user who isn't root can't change them.

    Args: uid, gid [in the inside's user namespace]; groups [supplementary ones; None
        leaves them: where setgroups is denied]; keep_capabilities [the permitted set
        survives until the program: another step sets it].
    Raises: EINVAL for an id that isn't mapped; EPERM without the capabilities, or for
        groups where setgroups is denied.
    Needs: CAP_SETUID and CAP_SETGID in the inside's user namespace.
    Kernel: setresuid(2), setgroups(2), capabilities(7).
    Spec: OCI runtime, process.user.
    """

    uid: int
    gid: int
    groups: tuple[int, ...] | None = ()
    keep_capabilities: bool = True

    man: ClassVar[tuple[str, ...]] = ("setresuid(2)", "setresgid(2)", "setgroups(2)")
    needs: ClassVar[str] = "CAP_SETUID and CAP_SETGID in its user namespace"

    def describe(self) -> str:
        more = f" and {', '.join(map(str, self.groups))}" if self.groups else ""
        return f"become user {self.uid}, group {self.gid}{more}"

    def apply(self, linux: Linux) -> int | None:
        if self.keep_capabilities and self.uid != 0:
            linux.prctl(PR.SET_KEEPCAPS, 1)
        if self.groups is not None:
            linux.setgroups(self.groups)
        linux.setresgid(self.gid, self.gid, self.gid)
        linux.setresuid(self.uid, self.uid, self.uid)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class SetUmask(Step):
    """Set which permissions new files don't get.

    Args: mask [0o022].
    Raises: nothing.
    Needs: nothing.
    Kernel: umask(2). Spec: OCI runtime, process.user.umask.
    """

    mask: int

    man: ClassVar[tuple[str, ...]] = ("umask(2)",)

    def describe(self) -> str:
        return f"set the umask to {self.mask:04o}"

    def apply(self, linux: Linux) -> int | None:
        linux.umask(self.mask)
        return None
