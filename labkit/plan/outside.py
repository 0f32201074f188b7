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
import os
import select
import signal
import sys
import traceback
from typing import Any, NoReturn

from labkit.linux.flags import PR
from labkit.linux.syscalls import Linux, Timed
from labkit.linux.views import HostPid
from labkit.plan import inside
from labkit.plan.channel import Channel, Message
from labkit.plan.step import Step, Where

_KILL_ROUNDS = (
    200  # a family that still forks after so many sweeps needs its cgroup killed
)
_DEATH_NOTICE_S = (
    0.05  # a dying process closes its files shortly before its parent hears
)


def serve(channel: Channel, steps: tuple[Step, ...], output_fd: int) -> NoReturn:
    """Be the outside of a child, until the notebook hangs up. Never returns."""
    try:
        _leave_the_notebook(channel, output_fd)
        Outside(channel, steps).obey()
    except BaseException:
        traceback.print_exc()  # goes to the child's output: the notebook shows it
        os._exit(1)
    os._exit(0)


class Outside:
    """The state of an outside: whom it talks to, and what it waits for."""

    def __init__(self, channel: Channel, steps: tuple[Step, ...]) -> None:
        self.channel, self.steps = channel, steps
        self.wakeup = _wake_on_sigchld()
        self.waiting_for: Message | None = None
        self.announced: list[Any] = []  # the calls of a step that ends in execve
        self.inside: HostPid
        self.inside_channel: Channel | None
        self.inside, self.inside_channel = self._start_inside()

    def obey(self) -> None:
        """Serve words until the notebook hangs up; then end the family."""
        self.channel.send({"inside": self.inside})
        while self._one_round():
            pass
        _kill_family()

    def _start_inside(self) -> tuple[HostPid, Channel]:
        ours, theirs = Channel.pair()
        pid = os.fork()
        if pid == 0:
            self.channel.close()
            ours.close()
            _name_this_process("labkit:inside")
            for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            inside.obey(theirs, self.steps)
        theirs.close()
        return HostPid(pid), ours

    def _one_round(self) -> bool:
        watched: list[Channel | int] = [self.channel, self.wakeup]
        watched += [self.inside_channel] if self.inside_channel else []
        ready = select.select(watched, [], [])[0]
        if self.inside_channel in ready:  # first: it may name a new inside
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
            self.channel.send(inside.perform(self.steps, message["index"], linux) or {})
        elif self.inside_channel is None:
            self.channel.send({"lost": True})
        else:
            self._pass_on(message, descriptors, self.inside_channel)
        for fd in descriptors:
            os.close(fd)
        return True

    def _is_ours(self, message: Message) -> bool:
        return (
            message["word"] == "step"
            and self.steps[message["index"]].where is Where.OUTSIDE
        )

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
            self._inside_hung_up()
            return
        reply = received[0]
        if "announced" in reply:
            self.announced = reply["announced"]
            return
        self.waiting_for = None
        if reply.get("successor"):
            self.inside = HostPid(reply["successor"])
            reply["inside"] = self.inside
        self.channel.send(reply)

    def _inside_hung_up(self) -> None:
        # Another program sits there now (its channel closed on exec), or it died.
        assert self.inside_channel is not None
        self.inside_channel.close()
        self.inside_channel = None
        asked, self.waiting_for = self.waiting_for, None
        if asked is None:
            return
        step = self.steps[asked["index"]] if asked["word"] == "step" else None
        replaced = step is not None and (step.replaces or not _died(self.inside))
        told = (
            {"replaced": True, "calls": self.announced} if replaced else {"lost": True}
        )
        self.channel.send(told)

    def _reap(self) -> None:
        # As a subreaper this process inherits orphans too, and takes their statuses.
        with contextlib.suppress(ChildProcessError):  # ECHILD: none is left
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self.inside:
                    self.channel.send({"exit": status})


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
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    _name_this_process("labkit:outside")
    Linux(forked=True).prctl(PR.SET_CHILD_SUBREAPER, 1)


def _name_this_process(name: str) -> None:
    with open("/proc/self/comm", "w") as comm:
        comm.write(name)


def _wake_on_sigchld() -> int:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    return read_end


def _died(pid: int) -> bool:
    # Leaving with a code means that it ran a program; a signal, that it was killed.
    pidfd = os.pidfd_open(pid)
    ended = select.select([pidfd], [], [], _DEATH_NOTICE_S)[0]
    os.close(pidfd)
    if not ended:
        return False
    how = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return how is not None and how.si_code != os.CLD_EXITED


def _kill_family() -> None:
    # Kill the children; orphans become ours (subreaper) and go in the next round.
    me = os.getpid()
    with contextlib.suppress(ChildProcessError):  # ECHILD: nobody is left
        for _ in range(_KILL_ROUNDS):
            with open(f"/proc/{me}/task/{me}/children") as listing:
                for pid in map(int, listing.read().split()):
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)
