"""Every error of the lab, in three lines: what failed, what it means, what to try.

    LabError                 message, meaning, hint, see
    |-- SyscallError         also an OSError: the call as written in C, errno by name
    |   |-- NotPermitted     EPERM, EACCES (also a PermissionError)
    |   |-- NoSuchPath       ENOENT (also a FileNotFoundError)
    |   |-- AlreadyThere     EEXIST (also a FileExistsError)
    |   |-- NoDirectory      ENOTDIR (also a NotADirectoryError)
    |   |-- NotSupported     ENOSYS, ENODEV, EOPNOTSUPP
    |   |-- Busy             EBUSY
    |   `-- LimitReached     ENOSPC, EAGAIN, EMFILE, ENFILE, EUSERS, ENOMEM
    |-- HostError            this machine can't do it; found before trying
    |-- WrongProcess         an attempt to change the notebook's own process
    |-- OrderError           step A before step B; carries the stored reason
    |-- StateError           not allowed in this state
    |-- DocumentError        a document or name that can't be understood
    |-- RegistryError        a registry refused, made no sense, or couldn't be reached
    |-- StepFailed           a learner's own step raised something that isn't ours
    |-- ContainerFailed      a program ended badly or did not end in time
    `-- ChildLost            the child died without a word

Classified by what a reader must do, not by which call failed. Errors cross the
process boundary as JSON, never as pickles: a reader must not have to trust the
process that sent them.
"""

from __future__ import annotations

import errno as errno_module

from labkit.hints import hint_for

TYPE_CHECKING = False  # without typing, whose import takes milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self


class LabError(Exception):
    """The root of the tree: three lines a learner can act on."""

    step = ""
    """Which step of a plan raised it, where a whole plan was applied at once."""

    def __init__(
        self, message: str, hint: str = "", see: str = "", *, meaning: str = ""
    ) -> None:
        super().__init__(message)
        self.message, self.meaning = message, meaning
        self.hint, self.see = hint, see

    def __str__(self) -> str:
        see = f" (see {self.see})" if self.see else ""
        lines = [
            self.message,
            self.meaning,
            f"try: {self.hint}{see}" if self.hint else see,
        ]
        return "\n".join(line.strip() for line in lines if line.strip())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # IPython's form of an error that is shown as a value: the three lines.
        printer.text(str(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return error_from_json, (self.to_json(),)

    def to_json(self) -> dict[str, Any]:
        """Return the error as a JSON-able mapping; `error_from_json` is its inverse."""
        names = ("message", "meaning", "hint", "see")
        return {
            "type": type(self).__name__,
            **{name: getattr(self, name) for name in names},
        }

    @classmethod
    def _from_json(cls, fields: dict[str, Any]) -> Self:
        return cls(
            fields["message"], fields["hint"], fields["see"], meaning=fields["meaning"]
        )


# Two names for one number: the one that the man pages use.
_MANUAL = {errno_module.EOPNOTSUPP: "EOPNOTSUPP", errno_module.EDEADLK: "EDEADLK"}


class SyscallError(LabError, OSError):
    """A system call that Linux refused: the call in C, the errno, and what it means.

    Its words are made when they are asked for: most of these errors only say that
    something isn't there, and are caught at once.
    """

    call: str
    errno_name: str

    def __init__(self, call: str | Callable[[], str], errno: int) -> None:
        OSError.__init__(self)
        self._call, self.errno = call, errno

    def __getattr__(self, name: str) -> Any:
        # Only for what isn't there yet.
        if name not in ("call", "errno_name", "message", "meaning", "hint", "see"):
            raise AttributeError(name)
        call = self._call if isinstance(self._call, str) else self._call()
        number = self.errno or 0
        known = _MANUAL.get(number) or errno_module.errorcode.get(number, str(number))
        self.call, self.errno_name, row = call, known, hint_for(call, known)
        self.message, self.meaning = f"{call}: {known}", row.meaning
        self.hint, self.see = row.hint, row.see
        return getattr(self, name)

    def to_json(self) -> dict[str, Any]:
        return {"type": type(self).__name__, "call": self.call, "errno": self.errno}

    @classmethod
    def _from_json(cls, fields: dict[str, Any]) -> Self:
        return cls(fields["call"], fields["errno"])


class NotPermitted(SyscallError, PermissionError):
    """EPERM or EACCES: a capability is missing, or in the wrong namespace."""


class NoSuchPath(SyscallError, FileNotFoundError):
    """ENOENT: a part of the path doesn't exist, as the caller sees it."""


class AlreadyThere(SyscallError, FileExistsError):
    """EEXIST: the name is taken."""


class NoDirectory(SyscallError, NotADirectoryError):
    """ENOTDIR: a part of the path is no directory."""


class NotSupported(SyscallError):
    """ENOSYS, ENODEV or EOPNOTSUPP: this Linux lacks the function."""


class Busy(SyscallError):
    """EBUSY: something else holds what you want to change."""


class LimitReached(SyscallError):
    """A limit of Linux or of a cgroup was reached."""


class HostError(LabError):
    """The machine can't do this; found out before trying."""


class WrongProcess(LabError):
    """A step was about to change the notebook's own process."""


class OrderError(LabError):
    """A plan's order is wrong; the reason is stored with the step."""


class StateError(LabError):
    """The operation isn't allowed in the present state."""


class DocumentError(LabError):
    """A document, a name or a number can't be understood."""


class RegistryError(LabError):
    """A registry refused, made no sense, or couldn't be reached."""


class StepFailed(LabError):
    """A learner's own step raised an error that isn't one of the lab's."""


class ContainerFailed(LabError):
    """A program inside ended badly, or did not end in time."""


class ChildLost(LabError):
    """The child ended without saying why."""


_BY_ERRNO: dict[int, type[SyscallError]] = {
    **dict.fromkeys((errno_module.EPERM, errno_module.EACCES), NotPermitted),
    **dict.fromkeys(
        (errno_module.ENOSYS, errno_module.ENODEV, errno_module.EOPNOTSUPP),
        NotSupported,
    ),
    errno_module.EBUSY: Busy,
    errno_module.ENOENT: NoSuchPath,
    errno_module.EEXIST: AlreadyThere,
    errno_module.ENOTDIR: NoDirectory,
    **dict.fromkeys(
        (
            errno_module.ENOSPC,
            errno_module.EAGAIN,
            errno_module.EMFILE,
            errno_module.ENFILE,
            errno_module.EUSERS,
            errno_module.ENOMEM,
        ),
        LimitReached,
    ),
}


def syscall_error(call: str | Callable[[], str], errno: int) -> SyscallError:
    """Return the error class that fits an errno.

    Args: call [as written in C, or what writes it]; errno.
    """
    return _BY_ERRNO.get(errno, SyscallError)(call, errno)


def error_from_json(fields: dict[str, Any]) -> LabError:
    """Rebuild an error that another process sent with `to_json`."""
    return _classes()[fields["type"]]._from_json(fields)


def _classes() -> dict[str, type[LabError]]:
    found, todo = {}, [LabError]
    while todo:
        cls = todo.pop()
        found[cls.__name__] = cls
        todo.extend(cls.__subclasses__())
    return found
