"""The inside: the process that becomes the container. It applies steps when asked.

It has one thread and reads words from its outside. Everything it may need is imported
before it starts: after a chroot an import would look in the wrong file tree.
"""

from __future__ import annotations

# Without signal's enums, which a container's start would wait for.
import _signal  # type: ignore[import-not-found]
import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from labkit.errors import DocumentError, LabError, StepFailed
from labkit.linux.call import Call
from labkit.linux.syscalls import Linux, Timed
from labkit.plan.channel import Channel, Message
from labkit.plan.events import Event
from labkit.plan.program import become
from labkit.plan.step import Step

_MOST_CALLS = 10_000
"""How many calls of one step are told: a learner's endless loop makes millions."""


def obey(channel: Channel, steps: tuple[Step, ...]) -> NoReturn:
    """Apply steps and run commands as words arrive, until end-of-file."""
    while (received := channel.receive()) is not None:
        message, descriptors = received
        if message["word"] == "step":
            reply = perform(steps, message["index"], _telling_before_exec(channel))
        elif message["word"] == "exec":
            reply = run_command(message, descriptors, channel)
        else:
            continue  # a "kill" that came after its command had ended
        if reply is not None:
            channel.send({"number": message["number"], **reply})
            if reply.get("successor"):
                os._exit(0)  # the new process has the seat now
    os._exit(0)


def perform(steps: Sequence[Step], index: int, linux: Timed) -> Message | None:
    """Apply one step; return what is told of it, or None in a process just forked."""
    step, start = steps[index], time.perf_counter_ns()
    successor, error = applied(step, linux)
    if successor == 0:
        return None
    event = Event(
        index,
        len(steps),
        step.describe(),
        type(step).__name__,
        step.where,
        (time.perf_counter_ns() - start) / 1000,
        _bounded(linux.calls),
        _short(error),
    )
    sys.stdout.flush()  # what a learner's function printed without a line's end
    told = error.to_json() if error else None
    return {"event": event.to_json(), "error": told, "successor": successor}


def applied(step: Step, linux: Linux) -> tuple[int | None, LabError | None]:
    """Apply one step; return what it returned, and the error that it raised."""
    successor, error, me = None, None, os.getpid()
    try:
        successor = step.apply(linux)
    except LabError as refused:
        error = refused
    except (Exception, SystemExit) as raised:
        error = _learners_error(step, raised)
    if os.getpid() != me and successor != 0:
        _leave_a_copy(step, error)
    return successor, error


def with_default_signals() -> None:
    """Give back to the process what a program expects to inherit."""
    _signal.set_wakeup_fd(-1)
    # Python ignores SIGPIPE and SIGXFSZ, and a program inherits that.
    for name in ("SIGCHLD", "SIGPIPE", "SIGXFSZ", "SIGINT"):
        _signal.signal(getattr(_signal, name), _signal.SIG_DFL)


def name_this_process(name: str) -> None:
    """Give the process the name that ps(1) shows."""
    fd = os.open("/proc/self/comm", os.O_WRONLY)
    os.write(fd, name.encode())
    os.close(fd)


def run_command(
    message: Message, descriptors: list[int], channel: Channel
) -> Message | None:
    """Run one command beside the parked inside; return how it ended."""
    problem_read, problem_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become_command(message, descriptors, problem_write)
    for fd in (*descriptors, problem_write):
        os.close(fd)
    with open(problem_read, "rb") as pipe:
        problem = pipe.read()  # end-of-file: execve closed it, or the process died
    status = _wait(pid, channel)
    return {"error": json.loads(problem)} if problem else {"status": status}


def _telling_before_exec(channel: Channel) -> Timed:
    def announce(calls: list[Call]) -> None:
        channel.send({"announced": [call.to_json() for call in calls]})

    return Timed(forked=True, announce=announce)


def _become_command(message: Message, descriptors: list[int], problem: int) -> NoReturn:
    linux = Linux(forked=True)
    try:
        os.setpgid(0, 0)  # so that a kill reaches what the command starts
        for target, fd in enumerate(descriptors):
            linux.dup2(fd, target)
        become(linux, message["argv"], message["env"])
    except LabError as error:
        os.write(problem, json.dumps(error.to_json()).encode())
    except ValueError as error:  # a NUL in a word, "=" in a variable's name
        refused = DocumentError(f"execve of {message['argv']!r}: {error}")
        os.write(problem, json.dumps(refused.to_json()).encode())
    finally:
        os._exit(127)


def _wait(pid: int, channel: Channel) -> int:
    # Waits for the command, and meanwhile for a word: "kill", or end-of-file.
    pidfd = os.pidfd_open(pid)
    if channel.fileno() in select.select([pidfd, channel.fileno()], [], [])[0]:
        received = channel.receive()
        with contextlib.suppress(ProcessLookupError):  # it has joined another group
            os.killpg(pid, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        if received is None:
            os._exit(0)
    # Not listening any more: the next word is for after this command.
    select.select([pidfd], [], [])
    os.close(pidfd)
    return os.waitpid(pid, 0)[1]


def _leave_a_copy(step: Step, error: LabError | None) -> NoReturn:
    # A learner's function has forked, and its child came back out of it, by an error or
    # by forgetting to leave. Two processes can't both be the inside.
    complaint = error or f"{step!r}: its child must end with execve or os._exit"
    print(complaint, file=sys.stderr, flush=True)
    os._exit(1)


def _bounded(calls: list[Call]) -> tuple[Call, ...]:
    more = len(calls) - _MOST_CALLS
    if more <= 0:
        return tuple(calls)
    return (*calls[:_MOST_CALLS], Call("", f"... and {more} calls more"))


def _learners_error(step: Step, raised: BaseException) -> StepFailed:
    frame = raised.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = ""
    if frame is not None:
        where = f"in {frame.tb_frame.f_code.co_name}, line {frame.tb_lineno}"
    return StepFailed(
        f"{step!r}: {type(raised).__name__}: {raised}",
        "mend the function, run its cell again, and fork a new child",
        meaning=f"the step's own code raised it, {where}",
    )


def _short(error: LabError | None) -> str | None:
    if error is None:
        return None
    return getattr(error, "errno_name", type(error).__name__)
