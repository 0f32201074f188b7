"""From words on a command line to what a server is made of. Chapter 12.

Each refuses what can't work, with the lab's three lines, before anybody listens.

Reading order: address, storage, access, tls, listening, terminated.
"""

from __future__ import annotations

import signal
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from labkit import state
from labkit.errors import DocumentError, HostError
from labkit.registry.server.access import Access, Basic, Open, Tokens
from labkit.registry.server.connection import Server
from labkit.registry.server.passwords import Passwords
from labkit.registry.server.routes import Registry
from labkit.registry.server.storage import Storage

_PORTS = range(1 << 16)


def address(text: str) -> tuple[str, int]:
    """Read HOST:PORT, [HOST]:PORT or :PORT.

    Raises: DocumentError.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port[:9]) not in _PORTS:
        raise DocumentError(
            f"--listen {text}: not understood",
            "--listen 127.0.0.1:5000",
            meaning="where to listen is a host and a port",
        )
    return host.strip("[]"), int(port)


def listening(
    where: tuple[str, int],
    registry: Registry,
    context: ssl.SSLContext | None,
    say: Callable[[str], None] | None,
) -> Server:
    """Take the address.

    Raises: HostError when it isn't this machine's, or is taken.
    """
    try:
        return Server(where, registry, tls=context, say=say)
    except OSError as problem:
        raise HostError(
            f"--listen {where[0]}:{where[1]}: {problem.strerror or problem}",
            "another port, or :PORT for all addresses of this machine",
            "ip(7)",
            meaning="the registry can't listen there",
        ) from problem


def storage(folder: str | None) -> Storage:
    """Open the storage, and make it if need be; None for the lab's own place.

    Raises: HostError.
    """
    place = Path(folder or state.directory("registry")).absolute()
    try:
        return Storage(place)
    except OSError as problem:
        raise HostError(
            f"{place}: {problem.strerror}",
            "--storage with a directory that you can write",
            meaning="the registry can't keep its files there",
        ) from problem


def access(htpasswd: str | None, *, tokens: bool, public: bool) -> Access:
    """Decide who may come in.

    Raises: DocumentError when the options don't go together; HostError for the file.
    """
    if htpasswd is None:
        if tokens or public:
            raise _needs("--tokens and --public", "--htpasswd FILE")
        return Open()
    if public and not tokens:
        raise _needs("--public", "--tokens")
    try:
        passwords = Passwords(Path(htpasswd))
    except OSError as problem:
        raise _unreadable(htpasswd, problem) from problem
    return Tokens(passwords, public=public) if tokens else Basic(passwords)


def tls(certificate: str | None, key: str | None) -> ssl.SSLContext | None:
    """Load a certificate; None without one.

    Raises: DocumentError; HostError for a file that can't be read.
    """
    if certificate is None:
        if key is not None:
            raise _needs("--tls-key", "--tls-cert FILE")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as problem:
        raise DocumentError(
            f"{certificate}: {problem.reason or problem}",
            "openssl x509 -in FILE -text shows what is in it",
            meaning="certificate and key can't be used, or don't belong together",
        ) from problem
    except OSError as problem:
        raise _unreadable(certificate, problem) from problem
    return context


@contextmanager
def terminated() -> Iterator[None]:
    """End quietly on SIGTERM and Ctrl-C: nothing is lost, whenever it happens."""

    def stop(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _needs(option: str, other: str) -> DocumentError:
    return DocumentError(
        f"registry serve: {option} without {other}",
        f"add {other}",
        meaning="one makes no sense without the other",
    )


def _unreadable(path: str, problem: OSError) -> HostError:
    return HostError(
        f"{path}: {problem.strerror}",
        "another file, or its permissions",
        meaning="the registry can't read it",
    )
