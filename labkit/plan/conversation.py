"""The notebook's side of the talk with a child: words go, replies and news come.

One word is under way at a time; it has a number, and its reply has the same. So a late
reply to a word that was given up is known for what it is. News that nobody asked for is
the inside's end: it comes before, between or after replies, and is kept in `exit`.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Sequence

from labkit.errors import ChildLost
from labkit.plan.channel import Channel, Message
from labkit.plan.events import Exit
from labkit.plan.interrupts import uninterrupted
from labkit.plan.pipes import Pipes


class Conversation:
    """Words to a child and what it says.

    Args: channel [the notebook's end]; lost [makes the error for a child that died
        without a word].
    """

    def __init__(self, channel: Channel, lost: Callable[[], ChildLost]) -> None:
        # Weakly, so that a child that nobody refers to any more ends at once.
        self._channel, self._child_lost = channel, weakref.WeakMethod(lost)
        self._number = 0  # of the word under way; 0 is the child's first message
        self._reply: Message | None = None
        self.exit: Exit | None = None

    def say(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a word, with a number.

        Raises: ChildLost when the outside is gone.
        """
        with uninterrupted():
            self._number, self._reply = self._number + 1, None
            self._send({**message, "number": self._number}, descriptors)

    def reply(self) -> Message:
        """Wait for the reply to the word under way.

        Raises: ChildLost when the child died, or its outside did.
        """
        while self._reply is None:
            self._channel.ready(None)
            self._hear()
        return self._reply

    def reply_or_output(self, pipes: Pipes, timeout_s: float | None) -> Message | None:
        """Like `reply`, moving a command's bytes meanwhile; None when time is over."""
        deadline = _deadline(timeout_s)
        while self._reply is None:
            left = _left(deadline)
            if left == 0:
                return None
            if pipes.pump(self._channel, left):
                self._hear()
        return self._reply

    def end_command(self) -> None:
        """Have the command under way killed, and wait until it has ended."""
        with uninterrupted():
            if self._reply is None:
                self._send({"word": "kill"})
        self.reply()

    def wait_for_exit(self, timeout_s: float | None) -> bool:
        """Wait until the inside has ended; False when time is over."""
        deadline = _deadline(timeout_s)
        while self.exit is None:
            if not self._channel.ready(_left(deadline)):
                return False
            self._hear()
        return True

    def _send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        try:
            self._channel.send(message, descriptors)
        except (BrokenPipeError, ConnectionResetError):
            raise self._lost() from None

    def _hear(self) -> None:
        # Takes one message; it is there, so this doesn't wait.
        with uninterrupted():
            received = self._channel.receive()
            if received is None:
                raise self._lost()
            message, _ = received
            if "exit" in message:
                self.exit = Exit.from_status(message["exit"])
            elif message.get("number") == self._number:
                if message.get("lost"):
                    raise self._lost()
                self._reply = message

    def _lost(self) -> ChildLost:
        error_of = self._child_lost()
        assert error_of is not None  # the child is there: its method called us
        return error_of()


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
