"""One blob on its way out: there already, mounted, whole, or in chunks. Chapter 12.

    HEAD  /v2/app/blobs/sha256:...                 200: nothing to do
    POST  /v2/app/blobs/uploads/?mount=...&from=   201: nothing to send
                                                   202: Location, where to send it
    PUT   LOCATION?digest=sha256:...               whole
    PATCH LOCATION, PATCH LOCATION, PUT LOCATION?digest=...   in chunks

When the way breaks, the registry is asked how far it came (GET LOCATION), and the rest
follows in chunks.

Reading order: Sending, push.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

from labkit.errors import RegistryError
from labkit.image.descriptor import Descriptor
from labkit.image.store import Store
from labkit.registry.client.progress import Moved, Phase, Subscriber
from labkit.registry.client.refusals import unreachable
from labkit.registry.client.repository import Begun, Repository
from labkit.registry.client.session import LATER, Asking
from labkit.registry.client.wire import Broken, Content, Response, read

_KIND = {"Content-Type": "application/octet-stream"}
_CHUNK, _BLOCK = 8 << 20, 1 << 20
_LONGEST_ANSWER = 64 << 10


@dataclass(frozen=True, slots=True)
class Sending:
    """How to send a blob.

    Args: source [another repository of the registry that has it, or ""]; chunk_bytes
        [0: whole].
    """

    source: str = ""
    chunk_bytes: int = 0


def push(
    repository: Repository,
    descriptor: Descriptor,
    store: Store,
    tell: Subscriber,
    how: Sending,
) -> None:
    """Let a repository have a blob.

    Raises: RegistryError; DigestMismatch when the store's own bytes are damaged.
    Spec: distribution-spec, "Pushing blobs".
    """
    size = descriptor.size
    if repository.has_blob(descriptor.digest):
        tell(Moved(descriptor.digest, Phase.THERE, size, size))
        return
    begun = repository.mount(descriptor.digest, how.source)
    if begun is None:
        tell(Moved(descriptor.digest, Phase.MOUNTED, size, size))
        return
    _Upload(repository, descriptor, store, tell).send(begun, how.chunk_bytes)
    tell(Moved(descriptor.digest, Phase.DONE, size, size))


class _Upload:
    def __init__(
        self,
        repository: Repository,
        descriptor: Descriptor,
        store: Store,
        tell: Subscriber,
    ) -> None:
        self._repository, self._descriptor = repository, descriptor
        self._store, self._tell = store, tell
        self._location, self._offset, self._least = "", 0, 0

    def send(self, begun: Begun, chunk_bytes: int) -> None:
        session = self._repository.session
        self._go_on_at(begun)
        for number in range(1, session.terms.patience.tries + 1):
            try:
                if chunk_bytes or self._offset:
                    self._send_chunks(max(chunk_bytes, self._least) or _CHUNK)
                else:
                    self._send_whole()
                return
            except Broken as broken:
                problem = self._lost(str(broken))
                if number == session.terms.patience.tries:
                    raise problem from broken
                self._say(Phase.AGAIN, self._offset, str(broken))
                session.pause(number, problem)
                self._find_end()

    def _send_whole(self) -> None:
        headers = {**_KIND, "Content-Length": str(self._descriptor.size)}
        with ExitStack() as opened:

            def body() -> Content:
                blob = opened.enter_context(self._store.open(self._descriptor))
                return _watched(blob, self._say)

            self._ask("PUT", self._closing(), headers, body)

    def _send_chunks(self, size: int) -> None:
        for chunk in self._chunks(size):
            end = self._offset + len(chunk)
            headers = {**_KIND, "Content-Range": f"{self._offset}-{end - 1}"}
            response = self._ask("PATCH", self._location, headers, chunk)
            self._location = response.headers.get("Location") or self._location
            self._offset = end
            self._say(Phase.PUSHING, end)
        self._ask("PUT", self._closing(), {"Content-Length": "0"})

    def _chunks(self, size: int) -> Iterator[bytes]:
        with self._store.open(self._descriptor) as blob:
            passed = 0
            # Read from the start: the store hashes on the way, and speaks at the end.
            while passed < self._offset:
                passed += len(blob.read(min(self._offset - passed, size)))
            while chunk := blob.read(size):
                yield chunk

    def _find_end(self) -> None:
        # The registry may have kept what came, may have forgotten it all, or may not
        # tell: then from the start.
        asking = Asking("GET", self._location, self._repository.push_scope)
        response = self._repository.session.once(asking)
        read(response, _LONGEST_ANSWER)
        end = re.fullmatch(
            r"(?:bytes=)?0-(\d{1,18})", response.headers.get("Range", "")
        )
        if response.status != 204 or end is None:
            begun = self._repository.mount(self._descriptor.digest, "")
            self._go_on_at(begun or Begun(self._location))
            return
        self._location = response.headers.get("Location") or self._location
        # "0-0" is said for one byte and for none.
        self._offset = int(end[1]) + 1 if int(end[1]) else 0

    def _go_on_at(self, begun: Begun) -> None:
        self._location, self._least, self._offset = begun.location, begun.least, 0

    def _ask(
        self,
        method: str,
        where: str,
        headers: dict[str, str],
        body: bytes | Callable[[], Content] = b"",
    ) -> Response:
        scope, session = self._repository.push_scope, self._repository.session
        opened = body if callable(body) else lambda: body
        asking = Asking(method, where, scope, headers, opened)
        response = session.once(asking)
        if response.status in (201, 202):
            read(response, _LONGEST_ANSWER)
            return response
        problem = session.refused(asking, response)
        # 416: the registry has another idea of how far this is.
        if response.status in (*LATER, 416):
            raise Broken(problem.message) from problem
        raise problem

    def _closing(self) -> str:
        join = "&" if "?" in self._location else "?"
        return f"{self._location}{join}digest={self._descriptor.digest}"

    def _lost(self, problem: str) -> RegistryError:
        host = self._repository.session.registry
        return unreachable(f"PUT {self._descriptor.digest.short} to {host}", problem)

    def _say(self, phase: Phase, done: int, why: str = "") -> None:
        blob = self._descriptor
        self._tell(Moved(blob.digest, phase, done, blob.size, why))


def _watched(blob: BinaryIO, say: Callable[[Phase, int], None]) -> Iterator[bytes]:
    done = 0
    while block := blob.read(_BLOCK):
        done += len(block)
        say(Phase.PUSHING, done)
        yield block
