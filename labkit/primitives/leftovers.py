"""What a process would inherit from us, and must not. Chapter "Privileges".

    NewSession()              our terminal is its terminal no more
    JoinSessionKeyring()      our keys are its keys no more
    CloseOnExec(3)            our open files close when the program comes
    CheckDirectory()          its working directory isn't one of ours

Each has been a way out of a container: TIOCSTI types into a terminal that is shared; a
descriptor of a host's directory, or a working directory in one, leads to the host's
files (CVE-2024-21626); a keyring holds what the host's services have put there.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.errors import NotPermitted, StateError
from labkit.linux.privilege_flags import CLOSE_RANGE, KEYCTL
from labkit.linux.syscalls import Linux
from labkit.plan.step import After, Before, Requires, Rule, Step
from labkit.primitives.root import Chdir
from labkit.primitives.user import SetUser
from labkit.values import dataclass

_LAST_FD = 2**32 - 1


@dataclass(frozen=True, slots=True, repr=False)
class NewSession(Step):
    """Make this process the leader of a session of its own, with no terminal yet.

    A process that shares our terminal could type into it (TIOCSTI), and would get its
    Ctrl-C.

    Raises: nothing: one that leads a session already stays.
    Needs: nothing.
    Kernel: setsid(2), credentials(7).
    """

    man: ClassVar[tuple[str, ...]] = ("setsid(2)",)

    def describe(self) -> str:
        return "lead a session of its own, away from our terminal"

    def apply(self, linux: Linux) -> int | None:
        try:
            linux.setsid()
        except NotPermitted:
            return None  # EPERM: it leads a group, and so its session, already
        return None


@dataclass(frozen=True, slots=True, repr=False)
class JoinSessionKeyring(Step):
    """Give this process an empty keyring in place of ours.

    Raises: EDQUOT at the user's limit on keys.
    Needs: nothing.
    Kernel: keyctl(2), KEYCTL_JOIN_SESSION_KEYRING; session-keyring(7).
    """

    man: ClassVar[tuple[str, ...]] = ("keyctl(2)", "session-keyring(7)")
    rules: ClassVar[tuple[Rule, ...]] = (
        Before(SetUser, "the keyring would be shared with others of that user"),
    )

    def describe(self) -> str:
        return "join a new session keyring"

    def apply(self, linux: Linux) -> int | None:
        linux.keyctl(KEYCTL.JOIN_SESSION_KEYRING)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class CloseOnExec(Step):
    """Have every descriptor from a number on close when the program comes.

    Args: first [3 keeps stdin, stdout and stderr].
    Raises: nothing.
    Needs: nothing.
    Kernel: close_range(2), CLOSE_RANGE_CLOEXEC, since Linux 5.11.
    """

    first: int = 3

    man: ClassVar[tuple[str, ...]] = ("close_range(2)",)

    def describe(self) -> str:
        return f"close every descriptor from {self.first} on at exec"

    def apply(self, linux: Linux) -> int | None:
        linux.close_range(self.first, _LAST_FD, CLOSE_RANGE.CLOEXEC)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class CheckDirectory(Step):
    """Refuse to go on in a working directory that no path inside leads to.

    /proc/self/fd/8 as working directory is where our descriptor 8 leads: a directory of
    the host's, from which ../../.. goes on (CVE-2024-21626).

    Raises: StateError when the directory is outside the root.
    Needs: nothing.
    Kernel: getcwd(2), since Linux 2.6.36 "(unreachable)" or ENOENT.
    Spec: OCI runtime, process.cwd.
    """

    man: ClassVar[tuple[str, ...]] = ("getcwd(2)",)
    rules: ClassVar[tuple[Rule, ...]] = (
        Requires(Chdir, "without it there is nothing new to check"),
        After(Chdir, "it is the directory of afterwards that counts"),
    )

    def describe(self) -> str:
        return "check that the working directory is inside"

    def apply(self, linux: Linux) -> int | None:
        try:
            inside = linux.getcwd().startswith("/")
        except FileNotFoundError:
            inside = False  # ENOENT: no path leads there
        if not inside:
            raise _outside()
        return None


def _outside() -> StateError:
    return StateError(
        "process.cwd: leads out of the container",
        "name a directory of the image's, not one of /proc/self/fd",
        "getcwd(2)",
        meaning="it is a directory of the host's (CVE-2024-21626)",
    )
