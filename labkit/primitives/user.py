"""Who a process is: user, groups, umask, as it sees itself. Chapter "Privileges".

    SetUser(uid, gid, groups)     root gives itself up, and can't come back
    GiveStdio(uid)                its stdin, stdout and stderr
    SetUmask(0o022)

Names become numbers in accounts.py.
Left out: filesystem ids (setfsuid(2)), which follow the effective ones.
"""

from __future__ import annotations

import os
from typing import ClassVar

from labkit.errors import SyscallError
from labkit.linux.flags import PR
from labkit.linux.syscalls import Linux
from labkit.plan.step import Before, Rule, Step
from labkit.values import dataclass

_NULL = os.makedev(1, 3)  # Documentation/admin-guide/devices.txt


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
class GiveStdio(Step):
    """Make stdin, stdout and stderr the user's own.

    A pipe belongs to whoever made it. Writing to it needs no permission, but opening it
    again by its name does: /dev/stdout leads to /proc/self/fd/1.

    Args: uid [in the inside's user namespace].
    Raises: nothing: one that can't be given stays as it is, and /dev/null everybody's.
    Needs: CAP_CHOWN.
    Kernel: fchown(2), pipe(7).
    Left out: the files' groups.
    """

    uid: int

    man: ClassVar[tuple[str, ...]] = ("fchown(2)",)
    needs: ClassVar[str] = "CAP_CHOWN"
    rules: ClassVar[tuple[Rule, ...]] = (
        Before(SetUser, "a user who isn't root can't give away what is root's"),
    )

    def describe(self) -> str:
        return f"give stdin, stdout and stderr to user {self.uid}"

    def apply(self, linux: Linux) -> int | None:
        for fd in (0, 1, 2):
            try:
                if linux.fstat(fd).st_rdev != _NULL:
                    linux.fchown(fd, self.uid, -1)
            except SyscallError:
                continue  # EBADF: closed; EPERM, EROFS, EINVAL: it stays as it is
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
