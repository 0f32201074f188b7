"""The inside of a launched plan: it applies its steps without being asked for each.

It meets the outside (says where it stands, and waits for a word) only before a step
that the outside applies, and once more before it becomes a program: a launcher that has
died meanwhile takes it along, so that nothing half-made is left.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from labkit.linux.call import Call
from labkit.linux.syscalls import Linux, Timed
from labkit.plan.channel import Channel, Message
from labkit.plan.gate import Gate
from labkit.plan.inside import (
    applied,
    name_this_process,
    perform,
    with_default_signals,
)
from labkit.plan.step import Step, Where


class Inside:
    """What the process that becomes the container knows while steps are applied.

    Args: steps; channel [to the outside]; until [a type of step before which the inside
        waits for a word]; told [whether somebody wants to hear of each step]; linux
        [what the steps are applied to, unless they are told].
    """

    def __init__(
        self,
        steps: tuple[Step, ...],
        channel: Channel,
        until: type[Step] | None,
        *,
        told: bool,
        linux: Linux,
    ) -> None:
        self.steps, self.channel, self.until = steps, channel, until
        self._linux = linux
        self.told, self._events = told, list[Message]()
        self._gate: Gate | None = None  # the gate that was passed: it has the ear now
        self._alone = True  # whether nothing goes on outside meanwhile

    def apply_from(self, first: int, stdio: tuple[int, int, int] | None) -> NoReturn:
        """Apply the steps from one on; never return."""
        try:
            with_default_signals()
            _import_no_more()
            for target, fd in enumerate(stdio or ()):
                os.dup2(fd, target)
            name_this_process("labkit:inside")
            self.go_on_from(first)
            self._tell({"done": True})
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)

    def go_on_from(self, first: int) -> None:
        """Apply the steps from one on, as far as this process stays what it is."""
        for index in range(first, len(self.steps)):
            self._pass(index)

    def _pass(self, index: int) -> None:
        step = self.steps[index]
        if self._meets_before(step):
            self._meet(index)
        elif step.replaces and self._gate is None:
            self._look_round(index)
        if step.where is Where.OUTSIDE:
            self._alone = self._alone and not step.meanwhile
            return
        if error := self._apply(index):
            self._fail(index, error)
        if isinstance(step, Gate):
            self._gate = step

    def _meets_before(self, step: Step) -> bool:
        if self._gate is not None:
            return False  # the launcher has left
        if step.where is Where.OUTSIDE:
            return not step.meanwhile
        wanted = self.until is not None and isinstance(step, self.until)
        return wanted or isinstance(step, Gate) or (step.replaces and not self._alone)

    def _meet(self, index: int) -> None:
        self._tell({"at": index})
        if self.channel.receive() is None:
            os._exit(1)  # the outside has died
        self._alone = True

    def _look_round(self, index: int) -> None:
        # Nothing goes on outside: so nobody needs to wait, if the outside is there.
        self._tell({"passes": index})
        if self.channel.ready(0):
            os._exit(1)  # end-of-file: it has died

    def _apply(self, index: int) -> Message | None:
        successor, error = self._performed(index)
        if successor == 0:
            self.introduce(index)
        elif successor:
            os._exit(0)  # the new process has the seat now
        return error

    def _performed(self, index: int) -> tuple[int | None, Message | None]:
        if not self.told:
            successor, error = applied(self.steps[index], self._linux)
            return successor, error.to_json() if error else None
        if self.steps[index].forks:
            self._tell({})  # now, or both processes would tell it
        told = perform(self.steps, index, Timed(forked=True, announce=self._announce))
        if told is None:
            return 0, None
        self._events.append(told["event"])
        if told["successor"]:
            self._tell({})
        return told["successor"], told["error"]

    def introduce(self, index: int) -> None:
        """Tell the outside that another process has the seat since a step."""
        # A descriptor of this very process, because its pid is another number outside.
        pidfd = os.pidfd_open(os.getpid())
        self.channel.send({"successor": index}, [pidfd])
        os.close(pidfd)

    def _announce(self, calls: list[Call]) -> None:
        if self._gate is None:
            self._tell({"announced": [call.to_json() for call in calls]})

    def _fail(self, index: int, error: Message) -> NoReturn:
        if self._gate is not None:
            self._gate.tell(error)
        else:
            self._tell({"failed": index, "error": error})
        os._exit(1)

    def _tell(self, message: Message) -> None:
        events, self._events = self._events, []
        self.channel.send({**message, "events": events})


def _import_no_more() -> None:
    # When the root has changed, an import would run the container's code in a process
    # that still has all of ours. What is needed is there by now.
    sys.meta_path.clear()
