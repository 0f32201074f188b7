"""Launch: apply a plan from a small process that is itself the outside.

    launched = launch(plan)                      a program sits in the inside now
    launched = launch(plan, until=AwaitStart)    the inside stands before that step
    launched.leave()                             it goes on, and we may end
    launched.follow()                            it goes on, until it is a program

    outside: the caller                        inside
    steps before the first one inside
                    clone3 or fork      ----->
    outside steps                       <----> its steps, without a word between them
                                               until an outside step is next
    wait for its end-of-file            <----- exec

`plan.fork()` is for a notebook, where each step can be looked at; this is for a
runtime, where none is. The caller must have one thread. Whoever inherits orphans (the
nearest subreaper: prctl(2)) gets the inside when a step of the plan has forked.
Chapter 09.

Left out: an undo of what steps outside have made: the caller knows what that is.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

from labkit.errors import ChildLost, LabError, error_from_json
from labkit.linux.call import Call
from labkit.linux.syscalls import Linux, Timed
from labkit.linux.views import HostPid
from labkit.plan.channel import Channel, Message
from labkit.plan.events import Event, event_from_json, event_of
from labkit.plan.family import pid_of, take_status
from labkit.plan.inside import applied, perform
from labkit.plan.launch_inside import Inside
from labkit.plan.plan import Plan
from labkit.plan.step import Step, Where

Stdio = tuple[int, int, int]
OnEvent = Callable[[Event], None]
OnBirth = Callable[[HostPid], None]

# A killed process may still have to give back its memory; a frozen one dies later.
_PATIENCE_S = 4.0
# A dying process closes its files shortly before its parent hears of its end.
_DEATH_NOTICE_S = 0.05


def launch(
    plan: Plan,
    *,
    until: type[Step] | None = None,
    subscriber: OnEvent | None = None,
    stdio: Stdio | None = None,
    born: OnBirth | None = None,
) -> Launched:
    """Apply a plan in a new process, and return when a program sits in it.

    Args: plan [in a right order: `plan.check()` is the caller's]; until [a type of
        step: return when the inside stands before it; it ends with this process as long
        as it stands]; subscriber [called with each event, in batches]; stdio
        [three descriptors for the inside; None: it shares the caller's]; born [called
        with the inside's pid as soon as it is there, while it applies its steps].
    Raises: what a step raised, with `.step`; the inside is dead then.
        ChildLost when it died without a word.
    Needs: one thread; what the steps need.
    """
    launched = Launched(plan.steps, until, subscriber)
    try:
        launched.begin(stdio, born)
    except BaseException:
        launched.kill()
        raise
    return launched


class Launched:
    """The inside of a plan: its pid, as this process counts, and a pidfd of it."""

    def __init__(
        self,
        steps: tuple[Step, ...],
        until: type[Step] | None,
        subscriber: OnEvent | None,
    ) -> None:
        self.pid, self.pidfd = HostPid(0), -1
        self._steps, self._until, self._subscriber = steps, until, subscriber
        self._channel: Channel | None = None
        self._next = 0  # where the search for outside steps goes on
        self._forked = 0  # behind the last step that forked
        self._met = 0  # where the inside stood last
        self.standing = False  # whether the inside stands before a step of type `until`
        self._exec = _Announced(0, [])

    def begin(self, stdio: Stdio | None, born: OnBirth | None) -> None:
        """Apply steps until the inside stands, or is a program."""
        places = (i for i, s in enumerate(self._steps) if s.where is Where.INSIDE)
        first = next(places, len(self._steps))
        self._apply_outside(first)
        self._make_inside(first, stdio)
        if born is not None:
            born(self.pid)
        self._serve()

    def leave(self) -> None:
        """Let the inside go on by itself: it doesn't end with this process any more."""
        if self.standing:
            self._say_go()
        self._hang_up()

    def follow(self) -> None:
        """Let the inside go on; return when a program sits in it.

        Raises: what a step raised; the inside is dead then.
        """
        try:
            if self.standing:
                self._until = None
                self._say_go()
                self._serve()
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End the inside, if it is there, and take its status."""
        self._hang_up()
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            select.select([self.pidfd], [], [], _PATIENCE_S)
            take_status(self.pid, os.WNOHANG)
            self.close()

    def close(self) -> None:
        """Give the pidfd back."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
        self.pidfd = -1

    def _make_inside(self, first: int, stdio: Stdio | None) -> None:
        ours, self._channel = Channel.pair()
        told = self._subscriber is not None
        linux = Linux(forked=True)
        inside = Inside(self._steps, self._channel, self._until, told=told, linux=linux)
        # A plan that begins by making a process needs no other one before it.
        forks = first < len(self._steps) and self._steps[first].forks
        pid = self._apply(first) if forks else os.fork()
        if pid == 0:
            ours.close()
            inside.apply_from(first + forks, stdio)
        self._channel.close()
        self._channel = ours
        self.pid = HostPid(pid or 0)
        self.pidfd = os.pidfd_open(self.pid)
        self._next = self._forked = first + forks
        self._apply_meanwhile()

    def _serve(self) -> None:
        assert self._channel is not None
        while not self.standing:
            received = self._channel.receive()
            if received is None:
                self._hang_up()
                self._ended()
                return
            self._hear(*received)

    def _hear(self, message: Message, descriptors: list[int]) -> None:
        for event in message.get("events", ()):
            self._tell(event_from_json(event))
        if "successor" in message:
            self._succeed(message["successor"], descriptors[0])
        elif "announced" in message:
            calls = [Call(**call) for call in message["announced"]]
            self._exec = _Announced(time.perf_counter_ns(), calls)
        elif "failed" in message:
            error = error_from_json(message["error"])
            raise _in_step(error, self._steps[message["failed"]])
        elif "at" in message:
            self._meet(message["at"])
        elif "passes" in message:
            self._met = message["passes"]

    def _succeed(self, index: int, pidfd: int) -> None:
        # When the old one has left, by itself, the new one has the parent that stays.
        _ends(self.pidfd, _PATIENCE_S)
        take_status(self.pid, os.WNOHANG)
        os.close(self.pidfd)
        self.pid, self.pidfd = pid_of(pidfd), pidfd
        self._forked = index + 1
        self._apply_meanwhile()

    def _meet(self, index: int) -> None:
        step, self._met = self._steps[index], index
        self._apply_outside(index + (step.where is Where.OUTSIDE))
        self.standing = self._until is not None and isinstance(step, self._until)
        if not self.standing:
            self._say_go()
            self._apply_meanwhile()

    def _say_go(self) -> None:
        assert self._channel is not None
        self.standing = False
        # EPIPE: it has died; its end-of-file is heard next.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._channel.send({"word": "go"})

    def _apply_outside(self, stop: int) -> None:
        for index in range(self._next, stop):
            if self._steps[index].where is Where.OUTSIDE:
                self._apply(index)
            self._next = index + 1

    def _apply_meanwhile(self) -> None:
        # As far as the inside goes on without us: not beyond a step that it waits for,
        # nor one after which it is another process.
        for index in range(self._next, len(self._steps)):
            step = self._steps[index]
            waited_for = step.where is Where.OUTSIDE and not step.meanwhile
            if waited_for or (step.forks and index >= self._forked):
                return
            self._apply_outside(index + 1)

    def _apply(self, index: int) -> int | None:
        step, inside = self._steps[index], self.pid or None
        if self._subscriber is None:
            successor, error = applied(step, Linux(inside, forked=True))
        else:
            told = perform(self._steps, index, Timed(inside, forked=True))
            if told is None:
                return 0
            self._tell(event_from_json(told["event"]))
            successor = told["successor"]
            error = error_from_json(told["error"]) if told["error"] else None
        if error is not None:
            self._hear_a_first_cause()
            raise _in_step(error, step)
        return successor

    def _hear_a_first_cause(self) -> None:
        # A step out here fails when the inside has died: then its own error says why.
        while self._channel is not None and self._channel.ready(_DEATH_NOTICE_S):
            if (received := self._channel.receive()) is None:
                return
            self._hear(*received)

    def _tell(self, event: Event) -> None:
        if self._subscriber is not None:
            self._subscriber(event)

    def _ended(self) -> None:
        # Another program sits there now (its channel closed on exec), or it died.
        step = self._steps[self._met]
        if not step.replaces and _ends(self.pidfd, _DEATH_NOTICE_S):
            raise _in_step(_lost(step), step)
        self._tell(self._exec.event(self._steps, self._met))

    def _hang_up(self) -> None:
        self.standing = False
        if self._channel is not None:
            self._channel.close()
        self._channel = None


class _Announced(NamedTuple):
    # An execve: when it was made, and the calls of its step up to it. Its success can't
    # be told by the process: another program is in it now.
    start_ns: int
    calls: list[Call]

    def event(self, steps: tuple[Step, ...], index: int) -> Event:
        duration_us = (time.perf_counter_ns() - self.start_ns) / 1000
        return event_of(steps, index, duration_us, tuple(self.calls))


def _in_step(error: LabError, step: Step) -> LabError:
    error.step = step.describe()
    return error


def _lost(step: Step) -> ChildLost:
    hint = "look at its cgroup's limits, and at what it wrote to its stderr"
    return ChildLost(f"the inside died in or after: {step.describe()}", hint)


def _ends(pidfd: int, timeout_s: float) -> bool:
    return bool(select.select([pidfd], [], [], timeout_s)[0])
