"""A name server's messages, as RFC 1035 has them."""

from __future__ import annotations

import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import DocumentError
from labkit.network import names
from labkit.network.names import AAAA, PTR, A, Question
from labkit.network.resolver import Resolver, upstream_servers

WEB = bytes.fromhex(
    "abcd 0100 0001 0000 0000 0000 03 776562 00 0001 0001".replace(" ", "")
)


def question(name: str, kind: int = A) -> bytes:
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
    return WEB[:12] + labels + b"\0" + struct.pack("!HH", kind, 1)


def test_a_question_is_read() -> None:
    read = Question.read(WEB)
    assert (read.number, read.name, read.kind) == (0xABCD, "web", A)


def test_an_answer_has_the_question_and_an_address() -> None:
    answer = names.answer(Question.read(WEB), ["10.90.0.2"])
    assert answer[:2] == WEB[:2] and answer[2:4] == b"\x81\x80"
    assert struct.unpack("!HHHH", answer[4:12]) == (1, 1, 0, 0)
    assert answer[12:].startswith(WEB[12:])
    # The name by a pointer to the question, A, IN, 5 seconds, 4 bytes: RFC 1035, 4.1.3.
    assert answer.endswith(
        bytes.fromhex("c00c 0001 0001 00000005 0004 0a5a0002".replace(" ", ""))
    )


def test_several_addresses_are_several_records() -> None:
    answer = names.answer(Question.read(WEB), ["10.90.0.2", "10.90.0.3"])
    assert struct.unpack("!H", answer[6:8]) == (2,)


def test_a_name_without_such_an_address_is_no_error() -> None:
    answer = names.answer(Question.read(question("web", AAAA)), ["10.90.0.2"])
    assert answer[3] & 0xF == names.NO_ERROR and answer[6:8] == b"\0\0"


def test_an_address_is_asked_for_backwards() -> None:
    asked = Question.read(question("2.0.90.10.in-addr.arpa", PTR))
    assert names.address_asked(asked) == "10.90.0.2"
    assert names.answer(asked, (), "web.lab").endswith(b"\3web\3lab\0")


@pytest.mark.parametrize("end", range(len(WEB)))
def test_half_a_question_is_none(end: int) -> None:
    with pytest.raises(DocumentError):
        Question.read(WEB[:end])


@given(st.binary(max_size=80))
def test_any_bytes_are_a_question_or_refused(message: bytes) -> None:
    try:
        assert Question.read(message).asked in message
    except DocumentError:
        return


@given(st.binary(max_size=64))
def test_a_resolver_answers_or_is_silent(tail: bytes) -> None:
    resolver = Resolver(lambda name: (), lambda address: "", lambda: ())
    reply = asyncio.run(resolver.answer(WEB[:12] + tail))
    assert reply == b"" or reply[:2] == WEB[:2]


def test_a_name_without_a_dot_is_never_asked_outside() -> None:
    def asked() -> tuple[str, ...]:
        raise AssertionError("the host's servers were asked")

    resolver = Resolver(lambda name: (), lambda address: "", asked)
    assert asyncio.run(resolver.answer(WEB))[3] & 0xF == names.NO_SUCH_NAME


def test_a_servers_file_is_read(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path), "resolv.conf")
    path.write_text(
        "# none\nsearch x\nnameserver 192.0.2.1\nnameserver\nnameserver ::1\n"
    )
    assert upstream_servers(path) == ("192.0.2.1", "::1")
    assert upstream_servers(path / "none") == ()
