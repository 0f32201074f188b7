"""Control: what a monitor is told while its container is there. Chapter 09.

    {"word": "start"}                      a held container goes on
    {"word": "attach", "stdin": true}      the socket becomes the streams
    {"word": "who"}                        answered with the first process's pid
    {"word": "wait"}                       answered when it has ended

Over `monitor.socket` in the container's directory, and over the connection by which the
container was asked for. Who hangs up changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Protocol

from labkit.plan.channel import Channel, Message
from labkit.runtime.ending import Ending
from labkit.runtime.watch import Watch

# A word is sent at once; who stops in the middle of one must not hold the monitor up.
_PATIENCE_S = 2.0


class Told(Protocol):
    """Whom the words are for: the monitor."""

    @property
    def pid(self) -> int:
        """The container's first process."""

    def go_on(self, answer: Callable[[Message], None]) -> None:
        """Let a held container become its program, and answer how that went."""

    def attach(self, channel: Channel, *, stdin: bool) -> None:
        """Let who is at the other end have the streams."""


class Control:
    """The monitor's socket, and everybody who is connected."""

    def __init__(self, listener_fd: int, watch: Watch, told: Told) -> None:
        self._watch, self._told, self._listener_fd = watch, told, listener_fd
        self._connected: dict[int, Channel] = {}
        self._waiting: list[Channel] = []
        watch.on(listener_fd, self._accept)

    def welcome(self, fd: int) -> None:
        """Listen to somebody; a channel is made when there is something to hear."""
        self._watch.on(fd, partial(self._hear_first, fd))

    def _hear_first(self, fd: int, kinds: int) -> None:
        channel = Channel(socket.socket(fileno=fd))
        channel.set_timeout(_PATIENCE_S)
        self._connected[fd] = channel
        self._watch.on(fd, lambda kinds: self._hear(channel))
        self._hear(channel)

    def tell_all(self, ending: Ending) -> None:
        """Answer everybody who waits."""
        for channel in self._waiting:
            self._answer(channel, {"ending": ending.to_json()})

    def close(self) -> None:
        """Listen to nobody any more."""
        self._watch.off(self._listener_fd)
        os.close(self._listener_fd)

    def _accept(self, kinds: int) -> None:
        listener = socket.socket(fileno=self._listener_fd)
        self.welcome(listener.accept()[0].detach())
        listener.detach()

    def _hear(self, channel: Channel) -> None:
        try:
            received = channel.receive()
        except (OSError, ValueError):
            received = None  # a word that never became whole, or no JSON
        if received is None:
            self._forget(channel)
            channel.close()
            return
        self._obey(received[0], channel)

    def _obey(self, message: Message, channel: Channel) -> None:
        match message.get("word"):
            case "start":
                self._told.go_on(partial(self._answer, channel))
            case "who":
                self._answer(channel, {"pid": self._told.pid})
            case "wait":
                self._waiting.append(channel)
            case "attach":
                self._forget(channel)
                self._answer(channel, {})
                self._told.attach(channel, stdin=bool(message.get("stdin")))

    def _forget(self, channel: Channel) -> None:
        self._watch.off(channel.fileno())
        self._connected.pop(channel.fileno(), None)
        if channel in self._waiting:
            self._waiting.remove(channel)

    def _answer(self, channel: Channel, message: Message) -> None:
        # EPIPE, or a full socket: it has died, or doesn't listen.
        with contextlib.suppress(OSError):
            channel.send(message)
