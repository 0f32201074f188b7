"""What -p says becomes ports of the host's and of the container's."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import DocumentError
from labkit.network.ports import EPHEMERAL, Port, parse, who_has

FREE = (EPHEMERAL[0], EPHEMERAL[-1])


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("8080:80", [Port("", 8080, 80)]),
        ("8080:80/tcp", [Port("", 8080, 80)]),
        ("53:53/udp", [Port("", 53, 53, "udp")]),
        ("127.0.0.1:8080:80", [Port("127.0.0.1", 8080, 80)]),
        ("[::1]:8080:80", [Port("::1", 8080, 80)]),
        ("80", [Port("", FREE[0], 80, "tcp", FREE[1])]),
        ("127.0.0.1::80", [Port("127.0.0.1", FREE[0], 80, "tcp", FREE[1])]),
        ("8000-8001:80-81", [Port("", 8000, 80), Port("", 8001, 81)]),
        ("8000-8009:80", [Port("", 8000, 80, "tcp", 8009)]),
        ("80-81", [Port("", FREE[0], p, "tcp", FREE[1]) for p in (80, 81)]),
    ],
)
def test_a_mapping_is_read(text: str, ports: list[Port]) -> None:
    assert list(parse(text)) == ports


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("", "it isn't"),
        ("a:b", "'b' is no port"),
        ("0:80", "ports go from 1 to 65535"),
        ("80:65536", "ports go from 1 to 65535"),
        ("9-8", "ports go from 1 to 65535"),
        ("8000-8002:80-81", "aren't equally long"),
        ("1.2.3:80:80", "'1.2.3' is no address"),
        ("80/sctp", "'sctp' is neither tcp nor udp"),
        ("1:2:3:4:5", "it isn't"),
    ],
)
def test_what_can_not_be_read_is_told_in_three_lines(text: str, meaning: str) -> None:
    with pytest.raises(DocumentError) as refused:
        parse(text)
    assert meaning in refused.value.meaning
    assert len(str(refused.value).splitlines()) == 3


@given(st.text(alphabet="0123456789:./-[]tcpud", max_size=24))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert all(0 < port.inside < 65536 for port in parse(text))
    except DocumentError as refused:
        assert refused.meaning


def test_who_has_a_port_is_this_program() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert who_has(port, "tcp") == Path("/proc/self/comm").read_text().strip()
    assert who_has(port, "tcp") == ""


def test_a_port_is_written_as_docker_ps_does() -> None:
    assert str(Port("", 8080, 80)) == "0.0.0.0:8080->80/tcp"
    assert str(Port("::1", 53, 53, "udp")) == "[::1]:53->53/udp"
