"""Hooks: programs of the host's that are run while a container is made. Chapter 09.

    RunHooks("createRuntime", hooks, state)        outside, in the host's namespaces
    RunHooksInside("startContainer", hooks, state) inside, in the container's

Each reads the container's state as JSON from its stdin: that is how a network program
learns which process's namespace it is to furnish. One that fails fails the container.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from labkit.errors import ContainerFailed, SyscallError
from labkit.linux.privilege_flags import CLOSE_RANGE
from labkit.linux.syscalls import Linux
from labkit.plan.family import end_with
from labkit.plan.step import Step, Where
from labkit.values import dataclass

_LAST_FD = 2**32 - 1
_NO_PROGRAM = 127  # what a shell says of a program that can't be started


class Hook(NamedTuple):
    """A program: its path, its words (the first is its own name), its environment."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout_s: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class RunHooks(Step):
    """Run programs one after the other, outside.

    Args: moment ["createRuntime" and so on]; hooks; state [JSON, without the pid].
    Raises: ContainerFailed when one can't be started, fails, or takes too long.
    Needs: nothing.
    Kernel: fork(2), execve(2). Spec: OCI runtime, POSIX-platform Hooks.
    """

    moment: str
    hooks: tuple[Hook, ...]
    state: str

    where: ClassVar[Where] = Where.OUTSIDE
    man: ClassVar[tuple[str, ...]] = ("execve(2)",)

    def describe(self) -> str:
        return f"run the hooks of {self.moment}: {_shown(self.hooks)}"

    def apply(self, linux: Linux) -> int | None:
        _run_all(linux, self, linux.inside or 0)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class RunHooksInside(Step):
    """Run programs one after the other, in the inside's own namespaces.

    Args: moment ["createContainer" or "startContainer"]; hooks; state [JSON].
    Raises: ContainerFailed when one can't be started, fails, or takes too long.
    Needs: nothing.
    Kernel: fork(2), execve(2). Spec: OCI runtime, POSIX-platform Hooks.
    """

    moment: str
    hooks: tuple[Hook, ...]
    state: str

    man: ClassVar[tuple[str, ...]] = ("execve(2)",)

    def describe(self) -> str:
        return f"run the hooks of {self.moment} inside: {_shown(self.hooks)}"

    def apply(self, linux: Linux) -> int | None:
        _run_all(linux, self, linux.getpid())
        return None


def _run_all(linux: Linux, step: RunHooks | RunHooksInside, pid: int) -> None:
    state = {**json.loads(step.state), "pid": pid}
    for hook in step.hooks:
        run_hook(linux, step.moment, hook, state)


def run_hook(linux: Linux, moment: str, hook: Hook, state: Mapping[str, Any]) -> None:
    """Run one program to its end, with the container's state on its stdin.

    It ends with this process: a half-made container has no program of a hook that goes
    on. What it has left to itself, a daemon for instance, stays.

    Args: moment [for the error]; state [OCI runtime, State].
    Raises: ContainerFailed when it can't be started, fails, or takes too long: then it
        is killed.
    Needs: nothing.
    Kernel: fork(2), execve(2), waitpid(2); prctl(2), PR_SET_PDEATHSIG.
    """
    state_fd, output_fd = (linux.memfd_create(f"labkit-{n}") for n in ("state", "said"))
    linux.write(state_fd, json.dumps(state).encode())
    linux.lseek(state_fd, 0)
    me, pid = os.getpid(), linux.fork()
    if pid == 0:
        end_with(me, linux)
        _become(linux, hook, state_fd, output_fd)
        return  # only a rehearsal comes here
    how = _end_of(linux, pid, hook.timeout_s)
    linux.lseek(output_fd, 0)
    said = linux.read(output_fd).decode(errors="replace").strip().splitlines()
    linux.close(state_fd)
    linux.close(output_fd)
    if how:
        raise ContainerFailed(
            f"error running hook {moment} {hook.path}: {how}",
            "run it by hand, with the container's state on its stdin",
            meaning=f"the last that it said: {said[-1] if said else 'nothing'}",
        )


def _become(linux: Linux, hook: Hook, state_fd: int, output_fd: int) -> None:
    try:
        for fd, target in ((state_fd, 0), (output_fd, 1), (output_fd, 2)):
            linux.dup2(fd, target)
        linux.close_range(3, _LAST_FD, CLOSE_RANGE.CLOEXEC)
        env = dict(entry.partition("=")[::2] for entry in hook.env)
        # Without an environment of its own it has the caller's, as with other runtimes.
        linux.execve(hook.path, hook.args or (hook.path,), env or dict(os.environ))
    except SyscallError as refused:
        linux.write(2, str(refused.message).encode())
        os._exit(_NO_PROGRAM)


def _end_of(linux: Linux, pid: int, timeout_s: int | None) -> str:
    pidfd = linux.pidfd_open(pid)
    in_time = linux.poll(pidfd, -1 if timeout_s is None else timeout_s * 1000)
    if not in_time:
        linux.pidfd_send_signal(pidfd, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(linux.waitpid(pid)[1])
    linux.close(pidfd)
    if not in_time:
        return f"has not ended after {timeout_s} s"
    if code < 0:
        return f"signal {-code}: {(signal.strsignal(-code) or 'unknown').lower()}"
    return f"exit code {code}" if code else ""


def _shown(hooks: tuple[Hook, ...]) -> str:
    return ", ".join(hook.path for hook in hooks)
