"""The registry's sockets: what HTTP allows, what clients do wrong, and TLS."""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.image import Digest
from labkit.registry.server.access import Basic
from labkit.registry.server.connection import Server
from labkit.registry.server.passwords import Passwords
from tests.support.registries import ADA, registry


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with registry(tmp_path / "storage") as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[http.client.HTTPConnection]:
    host, port = server.server_address[:2]
    connection = http.client.HTTPConnection(str(host), port, timeout=5)
    yield connection
    connection.close()


def ask(
    client: http.client.HTTPConnection, method: str, path: str, body: object = None
) -> tuple[int, bytes]:
    client.request(method, path, body)  # type: ignore[arg-type]
    answer = client.getresponse()
    return answer.status, answer.read()


def raw(server: Server, sent: bytes) -> bytes:
    """Send bytes as they are, close that side, and return all that comes."""
    with socket.create_connection(server.server_address[:2], timeout=5) as sock:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def upload(client: http.client.HTTPConnection) -> str:
    client.request("POST", "/v2/app/blobs/uploads/")
    answer = client.getresponse()
    answer.read()
    return str(answer.headers["Location"])


def test_a_large_blob_goes_in_and_out_over_one_connection(
    client: http.client.HTTPConnection,
) -> None:
    data = bytes(range(256)) * (20 << 12)
    digest = Digest.of(data)
    where = upload(client)
    first = client.sock
    assert ask(client, "PUT", f"{where}?digest={digest}", data)[0] == 201
    assert ask(client, "GET", f"/v2/app/blobs/{digest}") == (200, data)
    assert ask(client, "HEAD", f"/v2/app/blobs/{digest}") == (200, b"")
    assert client.sock is first


def test_a_body_without_a_length_comes_in_pieces(
    client: http.client.HTTPConnection,
) -> None:
    pieces = [b"a" * 7, b"b" * 100_000, b"c"]
    where = upload(client)
    assert ask(client, "PATCH", where, iter(pieces))[0] == 202
    digest = Digest.of(b"".join(pieces))
    assert ask(client, "PUT", f"{where}?digest={digest}")[0] == 201
    assert ask(client, "GET", f"/v2/app/blobs/{digest}")[1] == b"".join(pieces)


@pytest.mark.parametrize("length", [b"-5", b"0x10", b"", b"1_0", b"f" * 40])
def test_a_piece_whose_length_makes_no_sense_ends_the_connection(
    server: Server, client: http.client.HTTPConnection, length: bytes
) -> None:
    where = upload(client).encode()
    head = b"PATCH " + where + b" HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert raw(server, head + length + b"\r\nabcde\r\n0\r\n\r\n") == b""
    assert ask(client, "GET", where.decode())[0] == 204


def test_what_came_before_a_client_went_away_stays(
    server: Server, client: http.client.HTTPConnection
) -> None:
    where = upload(client)
    head = f"PATCH {where} HTTP/1.1\r\nContent-Length: 1000\r\n\r\n".encode()
    raw(server, head + b"abc")
    client.request("GET", where)
    answer = client.getresponse()
    answer.read()
    assert answer.headers["Range"] == "0-2"
    digest = Digest.of(b"abcdef")
    assert ask(client, "PUT", f"{where}?digest={digest}", b"def")[0] == 201


def test_a_client_that_breaks_off_between_two_requests_is_not_worth_a_line(
    server: Server,
    client: http.client.HTTPConnection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    ended, shutdown = threading.Event(), server.shutdown_request

    def shut(request: object) -> None:
        shutdown(request)  # type: ignore[arg-type]
        ended.set()

    monkeypatch.setattr(server, "say", said.append)
    monkeypatch.setattr(server, "shutdown_request", shut)
    assert ask(client, "GET", "/v2/")[0] == 200
    # socket(7): lingering for no time at all means a reset.
    at_once = struct.pack("ii", 1, 0)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    client.close()
    assert ended.wait(5)
    assert [line.split()[:3] for line in said] == [["GET", "/v2/", "200"]]


def test_two_requests_for_one_upload_do_not_mix(
    server: Server, client: http.client.HTTPConnection
) -> None:
    where = upload(client)
    with socket.create_connection(server.server_address[:2]) as slow:
        slow.sendall(f"PATCH {where} HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc".encode())
        while b"Range: 0-2" not in raw(
            server, f"GET {where} HTTP/1.1\r\n\r\n".encode()
        ):
            continue
        assert ask(client, "PATCH", where, b"xyz")[0] == 409


def test_the_answer_reaches_a_client_whose_body_nobody_wanted(tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(ADA)
    access = Basic(Passwords(tmp_path / "htpasswd"))
    with registry(tmp_path / "storage", access) as server:
        head = (
            b"PATCH /v2/app/blobs/uploads/x HTTP/1.1\r\nContent-Length: 8000000\r\n\r\n"
        )
        answer = raw(server, head + bytes(8_000_000))
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"Connection: close" in answer


def test_a_silly_length_is_refused(server: Server) -> None:
    head = b"PUT /v2/app/manifests/1 HTTP/1.1\r\nContent-Length: -1\r\n\r\n"
    assert raw(server, head).startswith(b"HTTP/1.1 400 ")


def test_garbage_is_answered_and_others_are_served(
    server: Server, client: http.client.HTTPConnection
) -> None:
    assert b"400" in raw(server, b"\x16\x03\x01\x00garbage \xff\r\n\r\n")
    assert ask(client, "GET", "/v2/")[0] == 200


def test_many_push_the_same_blob_at_once(server: Server, tmp_path: Path) -> None:
    data = bytes(300_000)
    digest = Digest.of(data)
    answers: list[int] = []

    def push() -> None:
        host, port = server.server_address[:2]
        client = http.client.HTTPConnection(str(host), port, timeout=20)
        line = f"/v2/app/blobs/uploads/?digest={digest}"
        answers.append(ask(client, "POST", line, data)[0])
        client.close()

    threads = [threading.Thread(target=push) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [201] * 8
    assert (tmp_path / "storage/blobs/sha256" / digest.encoded).read_bytes() == data
    assert not list((tmp_path / "storage/repositories/app/_uploads").iterdir())


def test_tls_serves_blobs_too(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with registry(tmp_path / "storage", tls=context) as server:
        trust = ssl.create_default_context(cafile=str(certificate))
        port = server.server_address[1]
        client = http.client.HTTPSConnection(
            "127.0.0.1", port, context=trust, timeout=5
        )
        data = bytes(3_000_000)
        line = f"/v2/app/blobs/uploads/?digest={Digest.of(data)}"
        assert ask(client, "POST", line, data)[0] == 201
        assert ask(client, "GET", f"/v2/app/blobs/{Digest.of(data)}") == (200, data)
        client.close()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that signs itself."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    words += f" -subj /CN=lab -addext subjectAltName=IP:127.0.0.1 -out {certificate}"
    argv = ["openssl", *words.split(), "-keyout", str(key)]
    subprocess.run(argv, check=True, capture_output=True)
    return certificate, key


@pytest.mark.parametrize(
    "head",
    [
        f"GET /v2/app/tags/list?{'&'.join(['a=1'] * 200)} HTTP/1.1\r\n\r\n",
        "GET http://[/v2/ HTTP/1.1\r\n\r\n",
        f"PUT /v2/app/manifests/1 HTTP/1.1\r\nContent-Length: {'9' * 5000}\r\n\r\n",
    ],
)
def test_numbers_and_urls_beyond_reason_are_refused(server: Server, head: str) -> None:
    assert raw(server, head.encode()).startswith(b"HTTP/1.1 400 ")
