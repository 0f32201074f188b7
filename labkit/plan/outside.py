"""The outside: the inside's parent, which stays in the original namespaces.

    notebook  <-- words, events -->  outside  <-- words, events -->  inside
               end-of-file ends both          end-of-file: exec, or death

It applies the steps whose place is outside (writing id maps, for instance, which only
an outside process may), passes the other words on, and tells the notebook how the
inside ended. It has a session of its own: Jupyter interrupts by signalling
the notebook's group. When the notebook hangs up, or dies, it kills what is left of its
family.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import sys
import traceback
from typing import Any, NoReturn

from labkit.errors import LabError
from labkit.linux.flags import PR
from labkit.linux.proc import process
from labkit.linux.syscalls import Linux, Timed
from labkit.linux.views import HostPid
from labkit.plan import inside
from labkit.plan.channel import Channel, Message
from labkit.plan.family import end_children, ended_children, wake_on_sigchld
from labkit.plan.step import Step, Where

SOME_ARE_LEFT = 3
"""The outside's exit code when a process of its family couldn't be ended."""

_FROM_INSIDE = ("number", "event", "error", "status")
# How often, and beyond which size, what a program has printed is cut back to its start:
# one that prints without end must not fill the disk.
_LOOK_AT_OUTPUT_S = 0.5
_MOST_OUTPUT, _KEPT_OUTPUT = 64 << 20, 16 << 20
# A dying process closes its files shortly before its parent hears of its end.
_DEATH_NOTICE_S = 0.05


def serve(channel: Channel, steps: tuple[Step, ...], output_fd: int) -> NoReturn:
    """Be the outside of a child, until the notebook hangs up. Never returns."""
    try:
        _leave_the_notebook(channel, output_fd)
        Outside(channel, steps).obey()
    except BaseException:
        traceback.print_exc()  # goes to the child's output: the notebook shows it
    finally:
        os._exit(0 if end_children() else SOME_ARE_LEFT)


class Outside:
    """The state of an outside: whom it talks to, and what it waits for."""

    def __init__(self, channel: Channel, steps: tuple[Step, ...]) -> None:
        self.channel, self.steps = channel, steps
        self.wakeup, self._wakeup_end = wake_on_sigchld()
        self.waiting_for: Message | None = None
        self.announced: list[Any] = []  # the calls of a step that ends in execve
        self.ended = False  # whether the inside has, as its wait status told
        self.inside: HostPid
        self.inside_channel: Channel | None
        self.inside, self.inside_channel = self._start_inside()

    def obey(self) -> None:
        """Serve words until the notebook hangs up."""
        # EPIPE, ECONNRESET: the notebook died while it was told something.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while self._one_round():
                pass

    def _start_inside(self) -> tuple[HostPid, Channel]:
        ours, theirs = Channel.pair()
        pid = os.fork()
        if pid == 0:
            self._become_inside(ours, theirs)
        theirs.close()
        return HostPid(pid), ours

    def _become_inside(self, ours: Channel, theirs: Channel) -> NoReturn:
        try:
            inside.with_default_signals()
            for channel in (self.channel, ours):
                channel.close()
            for fd in (self.wakeup, self._wakeup_end):
                os.close(fd)
            inside.name_this_process("labkit:inside")
            theirs.send({"ready": True})  # the notebook may look at it from now on
            inside.obey(theirs, self.steps)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def _one_round(self) -> bool:
        watched: list[Channel | int] = [self.channel, self.wakeup]
        watched += [self.inside_channel] if self.inside_channel else []
        parked = self.inside_channel is not None and self.waiting_for is None
        timeout_s = None if parked or self.ended else _LOOK_AT_OUTPUT_S
        ready = select.select(watched, [], [], timeout_s)[0]
        _cut_output()
        # Before a death is noted, because a message sent before it may name a new
        # inside, and because select may have looked there a moment too early.
        while self.inside_channel is not None and self.inside_channel.ready(0):
            self._hear_inside()
        if self.wakeup in ready:
            os.read(self.wakeup, 4096)
            self._reap()
        return self.channel not in ready or self._hear_notebook()

    def _hear_notebook(self) -> bool:
        received = self.channel.receive()
        if received is None:
            return False
        message, descriptors = received
        if self._is_ours(message):
            linux = Timed(self.inside, forked=True)
            reply = inside.perform(self.steps, message["index"], linux)
            self._answer(message, **(reply or {}))
        elif self.inside_channel is not None:
            self._pass_on(message, descriptors, self.inside_channel)
        elif message["word"] != "kill":
            self._answer_lost(message)
        for fd in descriptors:
            os.close(fd)
        return True

    def _is_ours(self, message: Message) -> bool:
        return (
            message["word"] == "step"
            and self.steps[message["index"]].where is Where.OUTSIDE
        )

    def _answer(self, message: Message, **told: Any) -> None:
        self.channel.send({"number": message["number"], **told})

    def _pass_on(self, message: Message, descriptors: list[int], to: Channel) -> None:
        if message["word"] != "kill":
            self.waiting_for = message
        # When the inside is dying, its end-of-file says so and answers the notebook.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            to.send(message, descriptors)

    def _hear_inside(self) -> None:
        assert self.inside_channel is not None
        received = self.inside_channel.receive()
        if received is None:
            self._inside_is_gone()
            return
        reply = received[0]
        if "ready" in reply:
            self.channel.send({"number": 0, "inside": self.inside})
            return
        if "announced" in reply:
            self.announced = reply["announced"]
            return
        # Only what an inside may say: not, for instance, who the inside is.
        told = {name: reply[name] for name in _FROM_INSIDE if name in reply}
        if reply.get("successor"):
            if not self._is_family(reply["successor"]):
                asked, self.waiting_for = self.waiting_for, None
                self._answer(asked or reply, lost=True)
                return
            told["inside"] = self.inside = HostPid(reply["successor"])
        self.waiting_for, self.announced = None, []
        self.channel.send(told)

    def _is_family(self, pid: int) -> bool:
        # A process in a PID namespace that forks once more knows its child by another
        # number than we do, and that child dies with it: PID 1 can't hand over.
        with contextlib.suppress(LabError):
            return process(pid).parent in (self.inside, os.getpid())
        return False

    def _inside_is_gone(self) -> None:
        # Another program sits there now (its channel closed on exec), or it died.
        assert self.inside_channel is not None
        self.inside_channel.close()
        self.inside_channel = None
        asked, self.waiting_for = self.waiting_for, None
        if asked is None:
            return
        step = self.steps[asked["index"]] if asked["word"] == "step" else None
        if step is not None and (step.replaces or not self._died()):
            self._answer(asked, replaced=True, calls=self.announced)
        else:
            self._answer_lost(asked)

    def _answer_lost(self, message: Message) -> None:
        if not self.ended and self._died():
            self._reap()  # how it ended is told first: the notebook's error says it
        self._answer(message, lost=True)

    def _died(self) -> bool:
        # Leaving with a code means that it ran a program; a signal, that it was killed.
        if self.ended:
            return True
        pidfd = os.pidfd_open(self.inside)
        ended = select.select([pidfd], [], [], _DEATH_NOTICE_S)[0]
        os.close(pidfd)
        if not ended:
            return False
        how = os.waitid(os.P_PID, self.inside, os.WEXITED | os.WNOWAIT)
        return how is not None and how.si_code != os.CLD_EXITED

    def _reap(self) -> None:
        for pid, status in ended_children():
            if pid == self.inside:
                self.ended = True
                self.channel.send({"exit": status})
                # No end-of-file comes while a process that it forked lives on.
                if self.inside_channel is not None:
                    self._inside_is_gone()


def _leave_the_notebook(channel: Channel, output_fd: int) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    for fd, target in ((null, 0), (output_fd, 1), (output_fd, 2)):
        os.dup2(fd, target)
    # Nothing of the notebook's may stay open here: ports, other children's channels.
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2 and fd != channel.fileno():
            with contextlib.suppress(OSError):  # EBADF: the listing's own descriptor
                os.close(fd)
    # And no object of the notebook's may be collected here: it would close a number
    # that means another file by now.
    gc.freeze()
    # By lines, because what is in a buffer is lost when a step becomes a program.
    sys.stdout, sys.stderr = (
        open(fd, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
        for fd in (1, 2)
    )
    inside.name_this_process("labkit:outside")
    Linux(forked=True).prctl(PR.SET_CHILD_SUBREAPER, 1)


def _cut_output() -> None:
    # The file is written in append mode, so what comes next goes to its new end.
    if os.fstat(1).st_size > _MOST_OUTPUT:
        os.ftruncate(1, _KEPT_OUTPUT)
        os.write(1, b"\n... (cut by labkit: this program prints too much)\n")
