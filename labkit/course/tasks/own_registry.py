"""A registry for the time of a check, and one request to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from labkit.course.task import Case
from labkit.registry.server.access import Access
from labkit.registry.server.connection import Server
from labkit.registry.server.routes import Registry
from labkit.registry.server.storage import Storage

_PATIENCE_S = 10
_POLL_S = 0.01  # how often it looks whether it shall end


@dataclass(frozen=True, slots=True)
class Answer:
    """What a registry said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class OwnRegistry:
    """A registry on a free port of this machine."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Where it is: http://127.0.0.1:5000."""
        return f"http://{self.host}:{self.port}"

    def send(
        self,
        method: str,
        path: str,
        data: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request, and read the answer."""
        with closing(HTTPConnection(self.host, self.port, timeout=_PATIENCE_S)) as line:
            line.request(method, path, data, dict(headers or {}))
            answer = line.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read())


@contextmanager
def serving(case: Case, access: Access | None = None) -> Iterator[OwnRegistry]:
    """Be a registry until the block ends.

    Args: access [None: everybody may do everything].
    """
    storage = Storage(Path(case.folder, "registry"))
    with Server(("127.0.0.1", 0), Registry(storage, access)) as server:
        thread = threading.Thread(target=server.serve_forever, args=[_POLL_S])
        thread.start()
        try:
            host, port = server.server_address[:2]
            yield OwnRegistry(str(host), int(port))
        finally:
            server.shutdown()
            thread.join()
