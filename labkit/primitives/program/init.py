"""A first process that does what a first process should. Chapter "The runtime".

    without                          with
    PID 1   the program              PID 1   ours: forwards signals, reaps orphans
                                     PID 2   the program

PID 1 of a PID namespace is special: a signal that it doesn't handle is not delivered to
it (so `stop` waits in vain), and it inherits every orphan (so zombies pile up when it
doesn't wait for them). Most programs weren't written for that seat.

A container's file tree need not hold a program for it, so the process that has made the
container stays: it has given up its privileges by then, and closes all its files.

Left out: suspending and resuming with the terminal (SIGTSTP).
"""

from __future__ import annotations

import json
import os
import signal
from typing import NoReturn

from labkit.errors import LabError, SyscallError, error_from_json
from labkit.linux.privilege_flags import CLOSE_RANGE
from labkit.linux.syscalls import Linux
from labkit.primitives.program.running import RunProgram
from labkit.values import dataclass

_LAST_FD = 2**32 - 1
_KILLED_BY = 128  # what a shell's exit code adds to a signal's number
_NOT_HELD = {signal.SIGKILL, signal.SIGSTOP}


@dataclass(frozen=True, slots=True, repr=False)
class RunUnderInit(RunProgram):
    """Start the program as a child, and stay as PID 1: forward signals, reap orphans.

    It ends with the program's exit code, or 128 and the signal's number.

    Args: argv [argv[0] is looked for along PATH]; env [name and value]; uid [whose
        home].
    Raises: ENOENT when the program or its loader is missing, EACCES.
    Needs: nothing.
    Kernel: pid_namespaces(7), The namespace init process; sigwaitinfo(2).
    """

    def describe(self) -> str:
        return f"stay as PID 1, and start {' '.join(self.argv)}"

    def apply(self, linux: Linux) -> int | None:
        held = linux.sigprocmask(signal.SIG_BLOCK, set(signal.Signals) - _NOT_HELD)
        problem_read, problem_write = os.pipe()
        pid = linux.fork()
        if pid == 0:
            self._start(linux, held, problem_write)
            return None  # only a rehearsal comes here
        linux.close(problem_write)
        if problem := linux.read(problem_read):  # end-of-file: it has become it
            raise error_from_json(json.loads(problem))
        linux.close_range(0, _LAST_FD, CLOSE_RANGE(0))
        _serve(linux, pid)

    def _start(self, linux: Linux, held: set[int], problem_fd: int) -> None:
        try:
            linux.setpgid(0, 0)  # Ctrl-C reaches it once: not us, who would forward it
            _take_terminal(linux)
            linux.sigprocmask(signal.SIG_SETMASK, held)
            RunProgram.apply(self, linux)
        except LabError as refused:
            linux.write(problem_fd, json.dumps(refused.to_json()).encode())
            os._exit(127)


def _take_terminal(linux: Linux) -> None:
    try:
        linux.tcsetpgrp(0, linux.getpid())
    except SyscallError:
        return  # ENOTTY: it has no terminal


def _serve(linux: Linux, program: int) -> NoReturn:
    signals = set(signal.Signals) - _NOT_HELD
    while True:
        number = linux.sigwaitinfo(signals)
        if number == signal.SIGCHLD:
            _reap(linux, program)
        else:
            _forward(linux, program, number)


def _reap(linux: Linux, program: int) -> None:
    # One signal can stand for several deaths.
    while True:
        pid, status = linux.waitpid(-1, os.WNOHANG)
        if pid == program:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else _KILLED_BY - code)
        if pid == 0:
            return


def _forward(linux: Linux, program: int, number: int) -> None:
    try:
        linux.kill(program, number)
    except ProcessLookupError:
        return  # ESRCH: its end is told next
