"""Which links there are: their names, whose ports they are, their aliases. Chapter 13.

Asked by rtnetlink(7) and not read from /sys, which shows the links of whoever mounted
it. How such messages look: rtnetlink.py.

Reading order: ListedLink, links.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

from labkit.linux.rtnetlink import ATTR, HEADER, LINK, REQUEST
from labkit.values import dataclass

# linux/netlink.h, linux/rtnetlink.h, linux/if_link.h
_DUMP, _DONE, _ERROR, _GET_LINK = 0x300, 3, 2, 18
_NAME, _MASTER, _ALIAS = 3, 10, 20
_KIND_MASK = 0x3FFF  # the two bits above say how a value is written
_LARGEST = 1 << 16


@dataclass(frozen=True, slots=True)
class ListedLink:
    """A link of this process's network namespace."""

    name: str
    master: str = ""  # the bridge that it is a port of
    alias: str = ""  # what whoever made it wrote on it: ip link set alias


def links() -> tuple[ListedLink, ...]:
    """Return the links of this process's network namespace.

    Raises: OSError.
    Needs: nothing.
    Kernel: rtnetlink(7), RTM_GETLINK.
    """
    rows = dict(_rows())
    names = {index: _text(row.get(_NAME)) for index, row in rows.items()}
    return tuple(
        ListedLink(
            names[index],
            names.get(int.from_bytes(row.get(_MASTER, b""), sys.byteorder), ""),
            _text(row.get(_ALIAS)),
        )
        for index, row in rows.items()
    )


def _rows() -> Iterator[tuple[int, dict[int, bytes]]]:
    # Of each link: its number, and its attributes by their kinds.
    for kind, body in _answers():
        if kind in (_DONE, _ERROR):
            return
        yield LINK.unpack_from(body)[2], dict(_attributes(body[LINK.size :]))


def _answers() -> Iterator[tuple[int, bytes]]:
    size = HEADER.size + LINK.size
    asked = HEADER.pack(size, _GET_LINK, REQUEST | _DUMP, 0, 0) + bytes(LINK.size)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as rtnetlink:
        rtnetlink.send(asked)
        while rest := rtnetlink.recv(_LARGEST):  # several of them in one
            while rest:
                length, kind, *_ = HEADER.unpack_from(rest)
                yield kind, rest[HEADER.size : length]
                rest = rest[_padded(length) :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        length, kind = ATTR.unpack_from(data)
        yield kind & _KIND_MASK, data[ATTR.size : length]
        data = data[_padded(length) :]


def _padded(length: int) -> int:
    return length + -length % 4


def _text(value: bytes | None) -> str:
    return (value or b"").partition(b"\0")[0].decode("utf-8", "surrogateescape")
