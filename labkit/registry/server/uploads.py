"""A blob on its way in: a session, chunks, and the check at the end. Chapter 12.

    POST  .../blobs/uploads/             a session begins
    PATCH .../blobs/uploads/6f1c...      bytes are appended, in order
    PUT   .../blobs/uploads/6f1c...?digest=sha256:...
                                         hashed, compared, renamed into its place

The file is the truth: after a kill its length says how far the upload came, and the
client goes on from there. The hash of what has passed by is only remembered; when it
doesn't cover the file, the file is read again.

Reading order: begin, find, Upload, forget_stale.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path

from labkit.image.digest import Digest, Hashing
from labkit.registry.server.exchange import Body
from labkit.registry.server.refusals import Refused
from labkit.registry.server.storage import Repository

_BLOCK = 1 << 20
_STALE_S = 24 * 60 * 60
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def begin(repository: Repository, algorithm: str) -> Upload:
    """Start a session.

    Args: algorithm [that the digest will have; another one costs a second look].
    """
    forget_stale(repository)
    name = uuid.uuid4().hex
    repository.uploads.mkdir(parents=True, exist_ok=True)
    (repository.uploads / name).touch()
    repository.storage.hashings[name] = Hashing(algorithm)
    return Upload(repository, name)


def find(repository: Repository, name: str) -> Upload:
    """Return a session that is under way.

    Raises: Refused (BLOB_UPLOAD_UNKNOWN).
    """
    place = repository.uploads / name
    if not re.fullmatch("[0-9a-f]{32}", name) or not place.is_file():
        raise _unknown(name)
    return Upload(repository, name)


class Upload:
    """One session: what came so far, in a file."""

    def __init__(self, repository: Repository, name: str) -> None:
        self.repository, self.name = repository, name
        self._hashings = repository.storage.hashings
        self.place = repository.uploads / name

    @property
    def size(self) -> int:
        """The bytes that came so far."""
        return self.place.stat().st_size

    def append(self, body: Body, start: int | None = None) -> None:
        """Add bytes at the end; those that came before a client went away stay.

        Args: start [where the client thinks the end is; None when it doesn't say].
        Raises: Refused (BLOB_UPLOAD_INVALID, 416) when it is elsewhere; OSError, and
            the session is over, when the disk is full.
        """
        with self._opened() as fd:
            if start not in (None, self.size):
                raise self._out_of_order(start)
            try:
                self._copy(body, fd)
            except OSError as problem:
                if problem.errno in _FULL:
                    self.cancel()
                raise

    def finish(self, digest: Digest) -> None:
        """Check the whole blob and let the repository have it.

        Raises: Refused (DIGEST_INVALID); the session is over then, too.
        """
        with self._opened():
            found = self._digest(digest.algorithm)
            if found != digest:
                self.cancel()
                raise Refused(
                    "DIGEST_INVALID", f"these bytes are {found}, not {digest}"
                )
            with self.repository.storage.pushing():
                self.repository.storage.adopt(self.place, digest)
                self.repository.blobs.add(digest)
        self._hashings.pop(self.name, None)

    def cancel(self) -> None:
        """Forget the session and its bytes."""
        self._hashings.pop(self.name, None)
        self.place.unlink(missing_ok=True)

    def headers(self) -> dict[str, str]:
        """Return what a client must know to go on."""
        return {
            "Location": f"/v2/{self.repository.name}/blobs/uploads/{self.name}",
            "Range": f"0-{max(self.size - 1, 0)}",
            "Docker-Upload-UUID": self.name,
        }

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            fd = os.open(self.place, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError as gone:
            raise _unknown(self.name) from gone
        try:
            # Two requests for one session would mix their bytes. The second is refused
            # at once, because the first may take as long as its client likes.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield fd
        except BlockingIOError as held:
            message = "another request writes to this upload"
            raise Refused("BLOB_UPLOAD_INVALID", message, HTTPStatus.CONFLICT) from held
        finally:
            os.close(fd)

    def _copy(self, body: Body, fd: int) -> None:
        hashing = self._hashings.get(self.name)
        if hashing is not None and hashing.size != self.size:
            hashing = None
        buffer = memoryview(bytearray(_BLOCK))
        while count := body.readinto(buffer):
            _write_all(fd, buffer[:count])
            if hashing is not None:
                hashing.update(buffer[:count])

    def _digest(self, algorithm: str) -> Digest:
        known = self._hashings.get(self.name)
        if known is not None and known.size == self.size:
            found = known.digest
            if found.algorithm == algorithm:
                return found
        return _hashed(self.place, algorithm)

    def _out_of_order(self, start: int | None) -> Refused:
        return Refused(
            "BLOB_UPLOAD_INVALID",
            f"the next chunk begins at byte {self.size}, not {start}",
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            self.headers(),
        )


def forget_stale(repository: Repository) -> None:
    """Remove uploads that nobody went on with for a day."""
    oldest = time.time() - _STALE_S
    for place in repository.uploads.glob("*"):
        # FileNotFoundError: it was finished, or another thread was first.
        with suppress(FileNotFoundError):
            if place.stat().st_mtime < oldest:
                place.unlink()
                repository.storage.hashings.pop(place.name, None)


def _unknown(name: str) -> Refused:
    return Refused("BLOB_UPLOAD_UNKNOWN", f"there is no upload {name[:100]}")


def _write_all(fd: int, block: memoryview) -> None:
    while block:
        block = block[os.write(fd, block) :]


def _hashed(place: Path, algorithm: str) -> Digest:
    hashing = Hashing(algorithm)
    buffer = memoryview(bytearray(_BLOCK))
    with place.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hashing.update(buffer[:count])
    return hashing.digest
