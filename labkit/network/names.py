"""Names: the answers of a small name server, as bytes. Chapter 13.

    question   id, flags, one name, one type                  RFC 1035, 4.1
    answer     the same again, with the addresses behind it

A container's names are answered here; anything else is passed on to the host's servers.
It is a function of bytes, so that a test needs no network.

Reading order: Question, answer, failure.
Left out: every type but A and PTR; EDNS (who asks with it is answered without).
Spec: RFC 1035.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from labkit.errors import DocumentError

ADDRESS = "127.0.0.11"
"""Where a container's name server is: Docker has its own there, too."""

PORT = 53
A, PTR, AAAA = 1, 12, 28
NO_ERROR, SERVER_FAILED, NO_SUCH_NAME = 0, 2, 3
# A container that comes back may have another address: nobody should remember long.
SECONDS = 5

_HEADER = struct.Struct("!HHHHHH")
_RESPONSE, _RECURSION = 0x8000, 0x0080
_OPCODE, _KEPT = 0x7800, 0x0100  # RD, "recursion desired", comes back as it was
_POINTER_TO_NAME = 0xC00C  # the question's name, which stands behind the header
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class Question:
    """What a program inside wants to know."""

    number: int  # chosen by who asks; the answer has the same
    flags: int
    name: str  # lower case, without the dot at its end
    kind: int
    asked: bytes  # name, type and class as they came

    @classmethod
    def read(cls, message: bytes) -> Self:
        """Read a question.

        Raises: DocumentError for bytes that are none, or for more than one.
        """
        try:
            number, flags, questions, *_ = _HEADER.unpack_from(message)
            labels, end = _labels(message, _HEADER.size)
            kind, _ = struct.unpack_from("!HH", message, end)
        except (struct.error, IndexError, ValueError):
            raise _no_question() from None
        if questions != 1 or flags & (_RESPONSE | _OPCODE):
            raise _no_question()
        name = ".".join(labels).lower()
        return cls(number, flags, name, kind, message[_HEADER.size : end + 4])


def answer(question: Question, addresses: Iterable[str], name: str = "") -> bytes:
    """Return the answer: addresses for a name, or the name of an address.

    For a type that isn't asked for here (AAAA) it has no record and no error: the name
    is there, and has none of that type. With an error a program would stop asking.
    """
    records = b""
    if question.kind == A:
        records = b"".join(_record(A, socket.inet_aton(one)) for one in addresses)
    elif question.kind == PTR and name:
        records = _record(PTR, _encoded(name))
    return _response(question, NO_ERROR, records)


def failure(question: Question, code: int) -> bytes:
    """Return the answer that there is none."""
    return _response(question, code, b"")


def address_asked(question: Question) -> str:
    """Return the address whose name is asked for, "" for another question.

    "2.0.90.10.in-addr.arpa" asks for 10.90.0.2.
    """
    parts = question.name.removesuffix(".in-addr.arpa").split(".")
    if question.kind != PTR or len(parts) != 4 or not question.name.endswith("arpa"):
        return ""
    return ".".join(reversed(parts))


def _response(question: Question, code: int, records: bytes) -> bytes:
    flags = _RESPONSE | _RECURSION | question.flags & _KEPT | code
    # Each record is as long as its first says: they are all of one type.
    count = len(records) // _length_of_first(records) if records else 0
    header = _HEADER.pack(question.number, flags, 1, count, 0, 0)
    return header + question.asked + records


def _record(kind: int, data: bytes) -> bytes:
    head = struct.pack("!HHHIH", _POINTER_TO_NAME, kind, 1, SECONDS, len(data))
    return head + data


def _length_of_first(records: bytes) -> int:
    return 12 + int.from_bytes(records[10:12])


def _labels(message: bytes, start: int) -> tuple[list[str], int]:
    labels, at = [], start
    while length := message[at]:
        if length > 63 or at - start > _LONGEST:
            raise ValueError("a pointer has no place in a question")
        labels.append(message[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return labels, at + 1


def _encoded(name: str) -> bytes:
    labels = [label.encode("ascii", "replace")[:63] for label in name.split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _no_question() -> DocumentError:
    return DocumentError("name server: these bytes are no question of RFC 1035")
