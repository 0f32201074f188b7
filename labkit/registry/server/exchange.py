"""What comes in and what goes out: a request, its body, an answer. Chapter 12.

Endpoints are functions from a request to an answer; only connection.py knows sockets.

Reading order: Request, Body, Answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks.

    Args: method, path [decoded, without the query]; query [first value of each name is
        usual, but a name may come twice]; headers [names in lower case];
        origin [http://host:port, as the client reached us]; body [to be read once].
    """

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    origin: str
    body: Body

    def header(self, name: str) -> str:
        """Return a header, or ""."""
        return self.headers.get(name.lower(), "")

    def first(self, name: str) -> str:
        """Return a value of the query, or ""."""
        return self.query.get(name, [""])[0]


class Body(Protocol):
    """The bytes that come with a request."""

    @property
    def ended(self) -> bool:
        """Whether all of them were read."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer as far as bytes are there; 0 at the end.

        Raises: ConnectionError when the client went away before the end.
        """


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets.

    Args: body [bytes in memory]; file [instead of body: an open file that the
        connection closes], start, length [the part of it that is sent].
    """

    status: HTTPStatus
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    file: BinaryIO | None = None
    start: int = 0
    length: int = 0
