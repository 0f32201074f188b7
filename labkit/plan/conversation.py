"""The notebook's side of the talk with a child: words go, replies and news come.

One word is under way at a time. News that nobody asked for is the inside's end: it may
arrive before, between or after replies, and is kept in `exit`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from labkit.errors import ChildLost
from labkit.plan.channel import Channel, Message
from labkit.plan.events import Exit
from labkit.plan.pipes import Pipes


class Conversation:
    """Words to a child and what it says.

    Args: channel [the notebook's end]; lost [makes the error for a child that died
        without a word].
    """

    def __init__(self, channel: Channel, lost: Callable[[], ChildLost]) -> None:
        self._channel, self._lost = channel, lost
        self.exit: Exit | None = None

    def say(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a word; whoever died meanwhile is noticed when its reply is awaited."""
        try:
            self._channel.send(message, descriptors)
        except BrokenPipeError:
            raise self._lost() from None

    def reply(self) -> Message:
        """Wait for the reply to the word under way.

        Raises: ChildLost when the child died, or its outside did.
        """
        while True:
            message = self._receive()
            if message is not None:
                return message

    def reply_or_output(self, pipes: Pipes, timeout_s: float | None) -> Message | None:
        """Like `reply`, moving a command's bytes meanwhile; None when time is over."""
        deadline = _deadline(timeout_s)
        while True:
            left = _left(deadline)
            if left == 0:
                return None
            if pipes.pump(self._channel, left):
                message = self._receive()
                if message is not None:
                    return message

    def wait_for_exit(self, timeout_s: float | None) -> bool:
        """Wait until the inside has ended; False when time is over."""
        deadline = _deadline(timeout_s)
        while self.exit is None:
            if not self._channel.ready(_left(deadline)):
                return False
            self._receive()
        return True

    def hang_up(self) -> None:
        """Let the child see end-of-file: it ends its family and itself."""
        self._channel.hang_up()

    def close(self) -> None:
        """Give the descriptor back."""
        self._channel.close()

    def _receive(self) -> Message | None:
        # Returns a reply, or None for news of the inside's end.
        received = self._channel.receive()
        if received is None or received[0].get("lost"):
            raise self._lost()
        message = received[0]
        if "exit" in message:
            self.exit = Exit.from_status(message["exit"])
            return None
        return message


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
