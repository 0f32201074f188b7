"""The program of a container: found before it is waited for, and then become.

    FindProgram(argv, path)     refuse what isn't there while `create` still listens
    RunProgram(argv, env)       become it, with a home directory from /etc/passwd

Chapter "The runtime".
"""

from __future__ import annotations

import os
from typing import ClassVar

from labkit.errors import ContainerFailed, SyscallError
from labkit.linux.flags import O
from labkit.linux.syscalls import Linux
from labkit.plan.program import become
from labkit.plan.step import After, Rule, Step
from labkit.primitives.program.accounts import home_of
from labkit.primitives.root import Chdir
from labkit.primitives.user import SetUser
from labkit.values import dataclass

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, repr=False)
class FindProgram(Step):
    """Refuse to go on when the program isn't there, or may not be run.

    Args: name [argv[0]; without "/" it is looked for along path]; path ["/bin:/sbin"].
    Raises: ContainerFailed, in the words that engines look for.
    Needs: nothing.
    Kernel: access(2). Spec: OCI runtime, process.args.
    """

    name: str
    path: str = _DEFAULT_PATH

    man: ClassVar[tuple[str, ...]] = ("faccessat(2)",)
    rules: ClassVar[tuple[Rule, ...]] = (
        After(SetUser, "it is that user who must be allowed to run it"),
        After(Chdir, "a relative name begins at the working directory"),
    )

    def describe(self) -> str:
        return f"find {self.name}"

    def apply(self, linux: Linux) -> int | None:
        problems = set()
        for place in self._places():
            problem = _problem(linux, place)
            if not problem:
                return None
            problems.add(problem)
        raise self._refusal(problems)

    def _places(self) -> list[str]:
        if "/" in self.name:
            return [self.name]
        return [f"{folder or '.'}/{self.name}" for folder in self.path.split(":")]

    def _refusal(self, problems: set[str]) -> ContainerFailed:
        words, hint = _ABSENT, f"it was looked for along {self.path}"
        if _DENIED in problems:
            words, hint = _DENIED, "make it executable: chmod +x"
        elif "/" in self.name:
            words, hint = _MISSING, "a path begins at the container's root"
        return ContainerFailed(f'process.args: exec: "{self.name}": {words}', hint)


@dataclass(frozen=True, slots=True, repr=False)
class RunProgram(Step):
    """Become the program. HOME is the user's home directory, if nobody says otherwise.

    Args: argv [argv[0] is looked for along PATH]; env [name and value]; uid [whose
        home].
    Raises: ENOENT when the program or its loader is missing, EACCES.
    Needs: nothing.
    Kernel: execve(2). Spec: OCI runtime, process.args and process.env.
    """

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    uid: int = 0

    man: ClassVar[tuple[str, ...]] = ("execve(2)",)
    replaces: ClassVar[bool] = True

    def describe(self) -> str:
        return f"become {' '.join(self.argv)}"

    def apply(self, linux: Linux) -> int | None:
        env = dict(self.env)
        if "HOME" not in env:
            env["HOME"] = _home(linux, self.uid)
        become(linux, self.argv, env)
        return None


# podman, and others above a runtime, look for these words.
_DENIED = "permission denied"
_MISSING = "no such file or directory"
_ABSENT = "executable file not found in $PATH"


def _problem(linux: Linux, place: str) -> str:
    try:
        linux.close(linux.open(place, O.PATH | O.DIRECTORY))
        return _DENIED  # a directory
    except FileNotFoundError:
        return _MISSING
    except PermissionError:
        return _DENIED
    except NotADirectoryError:
        return "" if linux.access(place, os.X_OK) else _DENIED


def _home(linux: Linux, uid: int) -> str:
    try:
        return home_of(linux.read_file("/etc/passwd"), uid) or "/"
    except SyscallError:
        return "/"  # an image needs no such file
