"""Registries for tests: a good one in a thread, and one that misbehaves on request."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from labkit.image import (
    Config,
    Descriptor,
    Digest,
    Manifest,
    Platform,
    Reference,
    Store,
    media_types,
)
from labkit.linux.views import HostPath
from labkit.registry.client.credentials import Login
from labkit.registry.client.session import Terms
from labkit.registry.client.wire import Patience
from labkit.registry.server import connection
from labkit.registry.server.access import Access
from labkit.registry.server.connection import Server
from labkit.registry.server.routes import Registry
from labkit.registry.server.storage import Storage

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
# What a test waits for must come at once, or not at all.
HURRY = Patience(tries=3, pause_s=0.001, connect_s=10, silence_s=10)
# "ada:secret", as htpasswd -nbB writes it: quick to check.
ADA = "ada:$2y$05$nzc5ayKXgijVEPoj2uc7quHqnbryI/TFiGSKvVzmHTTVSnUopsiPC"
IN_A_HURRY = Terms(patience=HURRY, login=Login())


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Let a server work in a thread."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def registry(
    folder: Path, access: Access | None = None, **more: Any
) -> Iterator[Server]:
    """Serve a registry on a free port of this machine."""
    made = Registry(Storage(folder), access)
    with serving(Server(("127.0.0.1", 0), made, **more)) as server:
        yield server


def name_of(server: Server, rest: str = "app:1") -> Reference:
    """Return the name of an image on a server."""
    return Reference.parse(f"127.0.0.1:{server.server_address[1]}/{rest}")


def store_in(folder: Path) -> Store:
    """Return an image store for one test."""
    return Store(HostPath(str(folder)))


def put_image(
    store: Store, reference: Reference, layers: Sequence[bytes] = (b"layer",)
) -> Descriptor:
    """Put an image into a store whose layers are these bytes, whatever they mean."""
    config = Config(Platform.here(), tuple(map(Digest.of, layers)))
    manifest = Manifest(
        store.write(config.to_bytes(), media_types.CONFIG),
        tuple(store.write(layer, media_types.LAYER) for layer in layers),
    )
    descriptor = store.write(manifest.to_bytes(), media_types.MANIFEST)
    store.tag(reference, descriptor)
    return descriptor


class Bad(Server):
    """A registry that does something else for requests that a test has named.

    `spoil(text, act, times)`: the next so many requests whose line has this text in it
    are left to `act`, which gets the connection.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Registry(Storage(folder)))
        self.RequestHandlerClass = Spoiled
        self.spoils: list[tuple[str, Act]] = []
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.over = threading.Event()

    def spoil(self, text: str, act: Act, times: int = 1) -> None:
        """Let `act` answer the next requests with `text` in their first line."""
        self.spoils += [(text, act)] * times

    def asked(self, text: str) -> list[dict[str, str]]:
        """Return the headers of each request with `text` in its first line."""
        return [headers for line, headers in self.seen if text in line]


@contextmanager
def bad(folder: Path) -> Iterator[Bad]:
    """Serve a bad registry."""
    with serving(Bad(folder)) as server:
        assert isinstance(server, Bad)
        try:
            yield server
        finally:
            server.over.set()


class Spoiled(connection._Connection):
    """One connection of a bad registry."""

    server: Bad

    def _look(self) -> None:
        line = f"{self.command} {self.path}"
        self.server.seen.append((line, dict(self.headers.items())))
        for number, (text, act) in enumerate(self.server.spoils):
            if text in line:
                del self.server.spoils[number]
                act(self)
                return
        self._exchange()

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = do_CONNECT = _look

    def say(
        self,
        status: int,
        headers: dict[str, str],
        body: bytes,
        length: int | None = None,
    ) -> None:
        """Answer, with a Content-Length that may be a lie."""
        self.send_response(HTTPStatus(status))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def truth(self) -> tuple[int, dict[str, str], bytes]:
        """Return what a good registry would say."""
        answer = self.server.registry.answer(self._request(self._body()))
        body = answer.body
        if answer.file:
            with answer.file as file:
                file.seek(answer.start)
                body = file.read(answer.length)
        return answer.status, dict(answer.headers), body


Act = Callable[[Spoiled], None]


def answers(status: int, body: bytes = b"", **headers: str) -> Act:
    """Answer with a status, a body and headers (Retry_After is Retry-After)."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda connection: connection.say(status, named, body)


def breaks_off(after: int) -> Act:
    """Say the truth, and close after so many bytes of the body."""

    def act(connection: Spoiled) -> None:
        status, headers, body = connection.truth()
        connection.say(status, headers, body[:after], len(body))

    return act


def stalls(after: int) -> Act:
    """Say the truth for so many bytes of the body, then nothing at all."""

    def act(connection: Spoiled) -> None:
        breaks_off(after)(connection)
        connection.server.over.wait(10)

    return act


def changes(how: Callable[[bytes], bytes]) -> Act:
    """Send other bytes than the true ones."""

    def act(connection: Spoiled) -> None:
        status, headers, body = connection.truth()
        connection.say(status, headers, how(body))

    return act


def hangs_up(connection: Spoiled) -> None:
    """Close without a word."""
    connection.close_connection = True
