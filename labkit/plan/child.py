"""Child: a forked child in which a plan is applied, step by step. Chapter 01.

    child = plan.fork()      two processes, parked before step 1
    child.next()             one step; returns its event
    child.run()              the remaining steps
    child.exec(argv)         a command inside, while the child is parked
    child.wait()             after an Exec step: how the program ended
    child.stop()             both processes end; may be called twice

The notebook's own process is never changed: steps happen in the child only. It ends
with the notebook, by end-of-file, even when the notebook is killed.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from labkit.errors import (
    ChildLost,
    ContainerFailed,
    LabError,
    StateError,
    error_from_json,
)
from labkit.linux.call import Call
from labkit.linux.views import HostPid
from labkit.plan.channel import Message
from labkit.plan.conversation import Conversation
from labkit.plan.events import Event, Exit, Result, event_from_json, event_of
from labkit.plan.interrupts import uninterrupted
from labkit.plan.pipes import Pipes
from labkit.plan.processes import Processes
from labkit.plan.program import ENVIRONMENT
from labkit.plan.step import Step
from labkit.text import Text

OnEvent = Callable[[Event], None]


class Child:
    """A plan being applied. `pid` is the inside's, as the host sees it."""

    def __init__(
        self, steps: tuple[Step, ...], on_event: OnEvent | None = None
    ) -> None:
        self.steps = steps
        self.events: tuple[Event, ...] = ()
        self._subscribers: list[OnEvent] = [on_event] if on_event else []
        self._lock = threading.RLock()  # a view's buttons may run on another thread
        self._failed = self._replaced = self._stopped = False
        self._end: Callable[[], object] = _nothing_to_end
        try:
            with uninterrupted():
                self._start()
        except BaseException:
            self.stop()
            raise

    def __repr__(self) -> str:
        return f"Child({len(self.events)} of {len(self.steps)} steps applied)"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        except LabError as problem:
            if error is None:
                raise
            # The first error is the one to read; the failed clean-up is a note to it.
            error.add_note(f"and the child could not be ended: {problem}")

    def subscribe(self, subscriber: OnEvent) -> None:
        """Call a function with each event from now on, in the thread of `next`."""
        self._subscribers.append(subscriber)

    def next(self) -> Event:
        """Apply the next step inside the child; return its event.

        Raises: what the step raised there (the very error); StateError when no step is
            left or an earlier one failed; ChildLost when the child died in it.
        """
        with self._lock:
            self._must_be_able_to_go_on()
            try:
                event, error = self._apply_next()
            except ChildLost:
                raise
            except BaseException:
                # Interrupted within a step: nobody knows what is half done.
                self.stop()
                raise
        self._tell(event, error)
        if error is not None:
            raise error
        return event

    def run(self) -> tuple[Event, ...]:
        """Apply the remaining steps, up to one that fails; return their events."""
        first = len(self.events)
        while len(self.events) < len(self.steps):
            self.next()
        return self.events[first:]

    def exec(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] = ENVIRONMENT,
        stdin: str = "",
        timeout_s: float | None = 60,
    ) -> Result:
        """Run a command inside, in the parked child's world; return what it said.

        Args: argv [argv[0] is looked for along the PATH of env, inside]; timeout_s
            [seconds, None for no limit].
        Raises: SyscallError when the program can't be started; ContainerFailed when
            time is over (the command is killed, the child stays).
        """
        if isinstance(argv, str) or not argv:
            raise TypeError(f'argv is a list of words, like ["ls", "-l"]; got {argv!r}')
        with self._lock, Pipes(stdin) as pipes:
            self._must_be_parked()
            message = {"word": "exec", "argv": list(argv), "env": dict(env)}
            reply = self._reply_of_command(message, pipes, timeout_s)
            pipes.drain()
            said = pipes.texts()
            if reply is None:
                raise _too_long(argv, timeout_s, "".join(said))
            if reply.get("error"):
                raise error_from_json(reply["error"])
            return Result(Exit.from_status(reply["status"]), *said)

    def wait(self, timeout_s: float | None = None) -> Exit:
        """Wait until the inside process has ended; return how.

        Raises: ContainerFailed when time is over; the process stays.
        """
        with self._lock:
            if not self._talk.wait_for_exit(timeout_s):
                raise _too_long(["the child"], timeout_s, self.output)
        assert self.exit is not None
        return self.exit

    @property
    def exit(self) -> Exit | None:
        """How the inside process ended; None as long as nobody heard that it did."""
        return self._talk.exit

    @property
    def output(self) -> Text:
        """What the inside process has written to its stdout and stderr so far."""
        return self._processes.said()

    @property
    def running(self) -> bool:
        """Whether the inside process is there: parked, or being a program."""
        with self._lock, contextlib.suppress(ChildLost):
            return not self._stopped and not self._talk.wait_for_exit(0)
        return False

    def stop(self) -> None:
        """End both processes and everything they started. May be called twice.

        Raises: StateError when a process can't end now, a frozen one for instance.
        """
        with self._lock, uninterrupted():
            self._stopped = True
            self._end()  # the second time it does nothing

    def _start(self) -> None:
        self._processes = Processes.fork(self.steps)
        # So that a child that nobody refers to any more ends as well.
        self._end = weakref.finalize(self, self._processes.end)
        self._talk = Conversation(self._processes.channel, self._lost)
        self.pid = HostPid(self._talk.reply()["inside"])
        self._processes.record(self.pid)

    def _must_be_able_to_go_on(self) -> None:
        self._must_be_parked()
        if self._failed:
            raise StateError(
                f"step {len(self.events)} failed; the steps after it can't be applied",
                "look at the child, then fork a new one",
            )
        if len(self.events) == len(self.steps):
            raise StateError(
                "no step is left in this plan", "child.exec or child.stop()"
            )

    def _must_be_parked(self) -> None:
        if self._stopped or self.exit is not None:
            raise StateError("this child has ended", "plan.fork() makes a new one")
        if self._replaced:
            raise StateError(
                "another program sits in this child since its Exec step",
                "enter its namespaces: Plan(JoinNamespaces(child.pid), ...).run()",
            )

    def _apply_next(self) -> tuple[Event, LabError | None]:
        start = time.perf_counter_ns()
        self._talk.say({"word": "step", "index": len(self.events)})
        reply = self._talk.reply()
        with uninterrupted():
            self._replaced = reply.get("replaced", False)
            event = (
                self._event_of_exec(start, reply["calls"])
                if self._replaced
                else event_from_json(reply["event"])
            )
            self.events += (event,)
            if reply.get("inside"):
                self.pid = HostPid(reply["inside"])
                self._processes.record(self.pid)
            error = error_from_json(reply["error"]) if reply.get("error") else None
            self._failed = error is not None
        return event, error

    def _tell(self, event: Event, error: LabError | None) -> None:
        # Every subscriber hears of it, even when one before it has a bug.
        problems: list[Exception] = []
        for subscriber in list(self._subscribers):
            try:
                subscriber(event)
            except Exception as problem:
                problems.append(problem)
        if error is not None:
            for one in problems:
                error.add_note(f"and a subscriber raised {one!r}")
        elif problems:
            raise problems[0]

    def _reply_of_command(
        self, message: Message, pipes: Pipes, timeout_s: float | None
    ) -> Message | None:
        try:
            self._talk.say(message, pipes.for_the_child)
            pipes.close_the_childs_ends()
            reply = self._talk.reply_or_output(pipes, timeout_s)
            if reply is None:
                self._talk.end_command()
            return reply
        except ChildLost:
            raise
        except BaseException:
            # Interrupted: the command ends, the child stays.
            with contextlib.suppress(ChildLost):
                self._talk.end_command()
            raise

    def _event_of_exec(self, start: int, calls: list[Message]) -> Event:
        # execve's success can't be told by the process: another program is in it now.
        duration_us = (time.perf_counter_ns() - start) / 1000
        made = tuple(Call(**call) for call in calls)
        return event_of(self.steps, len(self.events), duration_us, made)

    def _lost(self) -> ChildLost:
        done = len(self.events)
        at = self.steps[done].describe() if done < len(self.steps) else "its last step"
        last = self.output.strip().splitlines()[-1:] or ["it said nothing"]
        how = f"{self.exit}; " if self.exit is not None else ""
        return ChildLost(
            f"the child died in or after: {at}",
            "look at its cgroup's limits; child.output has what it said",
            meaning=f"{how}the last line of its output: {last[0]}",
        )


def _nothing_to_end() -> None:
    """Nothing was started yet."""


def _too_long(
    argv: Sequence[str], timeout_s: float | None, said: str
) -> ContainerFailed:
    last = said.strip().splitlines()[-1:] or ["nothing"]
    return ContainerFailed(
        f"{' '.join(argv)}: has not ended after {timeout_s} s",
        "give it more time (timeout_s=...), or look at what it waits for",
        meaning=f"the last that it said: {last[0]}",
    )
