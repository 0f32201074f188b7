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

import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from labkit.errors import (
    ChildLost,
    ContainerFailed,
    LabError,
    StateError,
    WrongProcess,
    error_from_json,
)
from labkit.linux.call import Call
from labkit.linux.views import HostPid
from labkit.plan import handle, outside
from labkit.plan.channel import Channel, Message
from labkit.plan.conversation import Conversation
from labkit.plan.events import Event, Exit, Result, event_from_json
from labkit.plan.pipes import Pipes
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
        self._output = tempfile.TemporaryFile(prefix="labkit-output-")  # noqa: SIM115
        self._talk, self._outside = self._fork()
        self.pid = HostPid(self._talk.reply()["inside"])
        self._record = handle.record(
            "child", f"child-{self.pid}", {"pid": self.pid}, durable=False
        )

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
        self.stop()

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
            index, start = len(self.events), time.perf_counter_ns()
            reply = self._ask({"word": "step", "index": index})
            if reply.get("replaced"):
                self._replaced = True
                reply = self._event_of_exec(index, start, reply["calls"])
            event = event_from_json(reply["event"])
            self.events += (event,)
            if reply.get("inside"):
                self.pid = HostPid(reply["inside"])
                self._record.update({"pid": self.pid})
            self._failed = reply["error"] is not None
        for subscriber in list(self._subscribers):
            subscriber(event)
        if reply["error"] is not None:
            raise error_from_json(reply["error"])
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
        with self._lock, Pipes(stdin) as pipes:
            self._must_be_parked()
            message = {"word": "exec", "argv": list(argv), "env": dict(env)}
            self._talk.say(message, pipes.for_the_child)
            pipes.close_the_childs_ends()
            reply = self._reply_of_command(pipes, timeout_s)
            if reply is None:
                raise _too_long(argv, timeout_s)
            if reply.get("error"):
                raise error_from_json(reply["error"])
            pipes.drain()
            return Result(Exit.from_status(reply["status"]), *pipes.texts())

    def wait(self, timeout_s: float | None = None) -> Exit:
        """Wait until the inside process has ended; return how.

        Raises: ContainerFailed when time is over; the process stays.
        """
        with self._lock:
            if not self._talk.wait_for_exit(timeout_s):
                raise _too_long(["the child"], timeout_s)
        assert self.exit is not None
        return self.exit

    @property
    def exit(self) -> Exit | None:
        """How the inside process ended; None as long as nobody heard that it did."""
        return self._talk.exit

    @property
    def output(self) -> Text:
        """What the inside process has written to its stdout and stderr so far."""
        if self._output.closed:
            return self._last_output
        size = os.fstat(self._output.fileno()).st_size
        said = os.pread(self._output.fileno(), size, 0)
        return Text(said.decode(errors="replace"))

    @property
    def running(self) -> bool:
        """Whether the inside process is there: parked, or being a program."""
        with self._lock:
            return not self._stopped and not self._talk.wait_for_exit(0)

    def stop(self) -> None:
        """End both processes and everything they started. May be called twice."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            self._talk.hang_up()
            os.waitpid(self._outside, 0)
            self._talk.close()
            self._last_output = self.output
            self._output.close()
            self._record.forget()

    def _fork(self) -> tuple[Conversation, int]:
        if threading.current_thread() is not threading.main_thread():
            raise WrongProcess(
                "plan.fork() in a background thread",
                "call it in a cell",
                meaning="a fork belongs to the notebook's main thread",
            )
        ours, theirs = Channel.pair()
        pid = os.fork()
        if pid == 0:
            outside.serve(theirs, self.steps, self._output.fileno())
        theirs.close()
        return Conversation(ours, self._lost), pid

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

    def _ask(self, message: Message) -> Message:
        try:
            self._talk.say(message)
            return self._talk.reply()
        except BaseException as error:
            # Interrupted in the middle of a step: nobody knows what is half done.
            if not isinstance(error, LabError):
                self.stop()
            raise

    def _reply_of_command(
        self, pipes: Pipes, timeout_s: float | None
    ) -> Message | None:
        reply: Message | None = None
        try:
            reply = self._talk.reply_or_output(pipes, timeout_s)
        finally:
            # Late, or interrupted: the command ends, the child stays.
            if reply is None:
                self._talk.say({"word": "kill"})
                self._talk.reply()
        return reply

    def _lost(self) -> ChildLost:
        done = len(self.events)
        at = self.steps[done].describe() if done < len(self.steps) else "its last step"
        last = self.output.strip().splitlines()[-1:] or ["it said nothing"]
        return ChildLost(
            f"the child died in or after: {at}",
            "look at its cgroup's limits; child.output has what it said",
            meaning=f"last line of its output: {last[0]}",
        )

    def _event_of_exec(self, index: int, start: int, calls: list[Message]) -> Message:
        # execve's success can't be told by the process: another program is in it now.
        step = self.steps[index]
        duration_us = (time.perf_counter_ns() - start) / 1000
        event = Event(
            index,
            len(self.steps),
            step.describe(),
            type(step).__name__,
            step.where,
            duration_us,
            tuple(Call(**call) for call in calls),
        )
        return {"event": event.to_json(), "error": None}


def _too_long(argv: Sequence[str], timeout_s: float | None) -> ContainerFailed:
    return ContainerFailed(
        f"{' '.join(argv)}: has not ended after {timeout_s} s",
        "give it more time (timeout_s=...), or look at what it waits for",
    )
