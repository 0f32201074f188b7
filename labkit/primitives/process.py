"""Processes: fork, exec, wait, signals, zombies. Chapter 01.

    Fork()                the inside goes on as a child of its old self
    Exec(argv)            the inside becomes a program; the last step of a plan

Left out: job control and terminals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from labkit.linux.syscalls import Linux
from labkit.plan.program import ENVIRONMENT, become
from labkit.plan.step import Step
from labkit.values import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Fork(Step):
    """Fork, and go on as the child.

    After Unshare(CLONE.NEWPID) the child is PID 1 of the new namespace: a process never
    changes its own pid, so only its children are in.

    Raises: LimitReached for EAGAIN (pids.max) and ENOMEM (PID 1 has ended).
    Needs: nothing.
    Kernel: fork(2), pid_namespaces(7).
    """

    man: ClassVar[tuple[str, ...]] = ("fork(2)", "pid_namespaces(7)")
    forks: ClassVar[bool] = True

    def describe(self) -> str:
        return "fork, and go on as the child"

    def apply(self, linux: Linux) -> int | None:
        return linux.fork()


@dataclass(frozen=True, slots=True, repr=False)
class Exec(Step):
    """Become a program. It is the last step: nothing of the lab is left in the process.

    Args: argv [argv[0] is looked for along PATH, as the inside sees it]; env [name and
        value pairs; None for a small environment of the lab's].
    Raises: ENOENT when the program or its loader is missing, EACCES when it isn't
        executable.
    Needs: nothing.
    Kernel: execve(2). Spec: OCI runtime, process.args.
    """

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] | None = None

    man: ClassVar[tuple[str, ...]] = ("execve(2)",)
    replaces: ClassVar[bool] = True

    def __init__(
        self, argv: list[str] | tuple[str, ...], env: Mapping[str, str] | None = None
    ):
        if isinstance(argv, str) or not argv:
            raise TypeError(f'argv is a list of words, like ["ls", "-l"]; got {argv!r}')
        object.__setattr__(self, "argv", tuple(argv))
        object.__setattr__(self, "env", None if env is None else tuple(env.items()))

    def describe(self) -> str:
        return f"become {' '.join(self.argv)}"

    def apply(self, linux: Linux) -> int | None:
        become(linux, self.argv, ENVIRONMENT if self.env is None else dict(self.env))
        return None
