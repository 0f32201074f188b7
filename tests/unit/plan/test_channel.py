"""Messages keep their borders, their descriptors, and come through in any size."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from labkit.plan.channel import Channel, Message

Ends = tuple[Channel, Channel]
Raw = tuple[socket.socket, Channel]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """The two ends of a channel."""
    one, other = Channel.pair()
    yield one, other
    one.close()
    other.close()


@pytest.fixture
def raw() -> Iterator[Raw]:
    """A channel whose other end says what it likes."""
    here, there = socket.socketpair()
    channel = Channel(there)
    yield here, channel
    here.close()
    channel.close()


def sent_in_a_thread(end: Channel, *messages: Message) -> threading.Thread:
    """Send messages that don't fit into a socket's buffer, while others read."""

    def send() -> None:
        for one in messages:
            end.send(one)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_two_messages_stay_two(ends: Ends) -> None:
    one, other = ends
    one.send({"a": 1})
    one.send({"b": 2})
    assert [other.receive(), other.receive()] == [({"a": 1}, []), ({"b": 2}, [])]


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 3_000_000])
def test_a_message_of_any_size_comes_through(ends: Ends, size: int) -> None:
    one, other = ends
    thread = sent_in_a_thread(one, {"text": "x" * size}, {"next": True})
    assert other.receive() == ({"text": "x" * size}, [])
    assert other.receive() == ({"next": True}, [])
    thread.join()


def test_what_is_no_utf8_comes_through(ends: Ends) -> None:
    one, other = ends
    name = os.fsdecode(b"\xe9\xff")
    one.send({"name": name})
    assert other.receive() == ({"name": name}, [])


def test_descriptors_come_along_and_close_on_exec(ends: Ends) -> None:
    one, other = ends
    read_fd, write_fd = os.pipe()
    one.send({"word": "exec"}, [write_fd])
    _, [copy] = other.receive() or ({}, [])
    os.write(copy, b"hello")
    assert os.read(read_fd, 5) == b"hello"
    assert fcntl.fcntl(copy, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    for fd in (read_fd, write_fd, copy):
        os.close(fd)


def test_the_end_is_told_as_none(ends: Ends) -> None:
    one, other = ends
    one.close()
    assert other.receive() is None


def test_hanging_up_reaches_the_other_end_though_copies_exist(ends: Ends) -> None:
    one, other = ends
    copy = os.dup(one.fileno())
    one.hang_up()
    assert other.receive() is None
    os.close(copy)


def test_a_message_cut_in_the_middle_counts_as_the_end(raw: Raw) -> None:
    here, channel = raw
    here.sendall(struct.pack("!I", 100) + b'{"a":')
    here.close()
    assert channel.receive() is None


def test_a_length_that_no_message_has_is_refused_before_it_is_read(raw: Raw) -> None:
    here, channel = raw
    here.sendall(struct.pack("!I", 2**31))
    assert channel.receive() is None


def test_nothing_but_json_is_understood(raw: Raw) -> None:
    here, channel = raw
    pickled = b"cos\nsystem\n(S'true'\ntR."
    here.sendall(struct.pack("!I", len(pickled)) + pickled)
    with pytest.raises(json.JSONDecodeError):
        channel.receive()
