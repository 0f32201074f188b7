"""HTTP and TLS: sockets in, sockets out, a thread for each connection. Chapter 12.

A blob goes from the file to the socket within Linux (sendfile), so its size doesn't
matter to this process. What comes in is read a mebibyte at a time.

Reading order: Server, _Connection, _Sized, _Chunked.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
import traceback
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase, BufferedReader
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from labkit.registry.server.exchange import Answer, Body, Request
from labkit.registry.server.refusals import Refused
from labkit.registry.server.routes import Registry

_SILENCE_S = 60  # a client that says nothing for so long has gone
_LINGER_S, _LINGER_BYTES = 2, 64 << 20
_BLOCK = 256 << 10
# It is said again in a challenge.
_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,300}")


class Server(ThreadingHTTPServer):
    """Listens, and answers with a registry.

    Args: address [host, port; port 0 for a free one]; registry; tls [None: plain
        HTTP]; say [gets a line for each request].
    Raises: OSError, EADDRINUSE when somebody listens there.
    Kernel: socket(7), sendfile(2).
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        registry: Registry,
        *,
        tls: ssl.SSLContext | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.registry, self.tls, self.say = registry, tls, say or (lambda line: None)
        super().__init__(address, _Connection)

    def server_bind(self) -> None:
        """Take the address; ask nobody for its name, which may take long."""
        TCPServer.server_bind(self)

    @property
    def url(self) -> str:
        """Where clients find it."""
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else host
        return f"http{'s' if self.tls else ''}://{shown!s}:{port}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread: others need not wait for it."""
        request.settimeout(_SILENCE_S)
        try:
            if self.tls:
                request = self.tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
        except (ConnectionError, TimeoutError, ssl.SSLError) as gone:
            self.say(f"{client_address[0]}: {gone}")
        finally:
            # The one that was wrapped: whoever calls us only knows the other.
            self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong with one connection; the others go on."""
        self.say(f"{client_address[0]}: {traceback.format_exc()}")


class _Connection(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "labkit", ""
    # An answer's head and body are two writes: the second must not wait for the first
    # one's acknowledgement.
    disable_nagle_algorithm = True
    rbufsize = 64 << 10
    rfile: BufferedReader

    def handle_one_request(self) -> None:
        """Wait for a request; who leaves before there is one makes no line."""
        try:
            self.rfile.peek(1)
        except (ConnectionResetError, TimeoutError):
            self.close_connection = True
        else:
            super().handle_one_request()

    def _exchange(self) -> None:
        begun, asked = time.monotonic(), _shown(f"{self.command} {self.path}")
        body: Body = _Sized(self.rfile, 0)
        try:
            body = self._body()
            answer = self.server.registry.answer(self._request(body))
        except Refused as refused:
            answer = _error(refused)
        except (ConnectionError, TimeoutError) as gone:
            self.close_connection = True
            self.server.say(f"{asked}: the client went away: {gone}")
            return
        except OSError as problem:
            answer = _error(_storage_failed(problem))
            self.server.say(f"{asked}: {problem}")
        except Exception:
            # One request's mistake must not end the registry for the others.
            self.server.say(f"{asked}:\n{traceback.format_exc()}")
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            answer = _error(Refused("UNSUPPORTED", "a mistake of the registry", status))
        self._send(answer, last=not body.ended)
        took_ms = (time.monotonic() - begun) * 1000
        self.server.say(f"{asked} {answer.status} {took_ms:.0f} ms")
        if not body.ended:
            self._linger()

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = _exchange

    def _request(self, body: Body) -> Request:
        try:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query, keep_blank_values=True, max_num_fields=100)
        except ValueError as wrong:
            status = HTTPStatus.BAD_REQUEST
            raise Refused("UNSUPPORTED", f"the URL: {wrong}", status) from wrong
        host = self.headers.get("Host", "")
        if not _HOST.fullmatch(host):
            host = self.server.url.partition("://")[2]
        scheme = "https" if self.server.tls else "http"
        return Request(
            self.command,
            unquote(parts.path),
            query,
            self._lower_headers(),
            f"{scheme}://{host}",
            body,
        )

    def _lower_headers(self) -> dict[str, str]:
        # RFC 9110, 5.2: a header that comes twice is one with a comma.
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            before = f"{headers[name.lower()]}, " if name.lower() in headers else ""
            headers[name.lower()] = before + value
        return headers

    def _body(self) -> Body:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return _Chunked(self.rfile)
        length = self.headers.get("Content-Length", "0")
        if not re.fullmatch("[0-9]{1,18}", length):
            self.close_connection = True
            raise Refused("SIZE_INVALID", f"Content-Length: {length[:50]}")
        return _Sized(self.rfile, int(length))

    def _send(self, answer: Answer, *, last: bool) -> None:
        length = answer.length if answer.file else len(answer.body)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if answer.status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(length))
        if last:
            self.send_header("Connection", "close")
        self.end_headers()
        with answer.file or contextlib.nullcontext():
            if self.command == "HEAD":
                return
            if answer.file is None:
                self.wfile.write(answer.body)
            elif length:
                self.connection.sendfile(answer.file, answer.start, length)

    def _linger(self) -> None:
        # Closing with bytes unread would make Linux send a reset, and the client might
        # lose the answer: so read on for a moment, as nginx does.
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            deadline, left = time.monotonic() + _LINGER_S, _LINGER_BYTES
            self.connection.settimeout(_LINGER_S)
            while left > 0 and time.monotonic() < deadline:
                block = self.connection.recv(_BLOCK)
                if not block:
                    return
                left -= len(block)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing here: each request has its line already."""


class _Sized:
    # A body of so many bytes.
    def __init__(self, stream: BufferedIOBase, length: int) -> None:
        self._stream, self.left = stream, length

    @property
    def ended(self) -> bool:
        return not self.left

    def readinto(self, buffer: memoryview) -> int:
        if not self.left:
            return 0
        count = self._stream.readinto1(buffer[: self.left])
        if not count:
            raise ConnectionResetError(f"{self.left} bytes before the end")
        self.left -= count
        return count


class _Chunked:
    # A body in pieces, each with its length in hexadecimal digits (RFC 9112, 7.1).
    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream
        self._piece = _Sized(stream, 0)
        self.ended = False

    def readinto(self, buffer: memoryview) -> int:
        if self.ended:
            return 0
        if not self._piece.left:
            self._piece = _Sized(self._stream, self._length())
            if not self._piece.left:
                self.ended = True
                return 0
        count = self._piece.readinto(buffer)
        if not self._piece.left:
            self._stream.readline(3)  # each piece ends with CR LF
        return count

    def _length(self) -> int:
        line = self._stream.readline(1 << 10)
        digits = line.partition(b";")[0].strip()
        if not re.fullmatch(b"[0-9a-fA-F]{1,15}", digits):
            raise ConnectionAbortedError(f"no length of a piece: {line[:20]!r}")
        length = int(digits, 16)
        if not length:
            while self._stream.readline(1 << 16) not in (b"\r\n", b"\n", b""):
                continue  # trailers
        return length


def _shown(text: str) -> str:
    # A path may hold whatever moves a terminal's cursor.
    return "".join(char if char.isprintable() else "?" for char in text)


def _error(refused: Refused) -> Answer:
    headers = {"Content-Type": "application/json"} | refused.headers
    return Answer(refused.status, headers, refused.to_bytes())


def _storage_failed(problem: OSError) -> Refused:
    message = f"the registry's disk: {problem.strerror}"
    return Refused("UNSUPPORTED", message, HTTPStatus.INSUFFICIENT_STORAGE)
