"""A blob on its way into the store: kept when the way breaks, checked at its end.

    with store.ingest(descriptor) as blob:
        blob.offset                 bytes that an earlier try has brought already
        blob.write(chunk)           again and again
        blob.commit()               hashed, flushed to the disk, renamed into its place

    ingest/sha256-...   -- rename(2) -->   blobs/sha256/...

Until `commit` nobody sees the blob. A process that is killed leaves the partial file,
and the next one goes on from there. Two that bring the same blob: the second waits for
the first, and then has nothing to do. Chapter 11.

Reading order: Ingest.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from labkit import state
from labkit.errors import StateError
from labkit.image import locks
from labkit.image.descriptor import Descriptor
from labkit.image.digest import Digest, Hashing, check

_CHUNK = 1 << 20
_WAIT_S = 600
_POLL_S = 0.05


class Ingest:
    """One blob being written; made by a store's `ingest` and `create`.

    Args: root [host path of the store]; media_type [of the blob]; wanted [its
        descriptor; None when the bytes are made just now, and decide the digest].
    """

    def __init__(self, root: str, media_type: str, wanted: Descriptor | None) -> None:
        self._root, self._media_type, self._wanted = root, media_type, wanted
        self._fd = -1
        self._held = ExitStack()
        self._hashing = Hashing(wanted.digest.algorithm if wanted else "sha256")
        self._complete = False
        name = f"{os.getpid()}-{threading.get_native_id()}.made"
        if wanted is not None:
            name = wanted.digest.replace(":", "-")
        self._partial = os.path.join(root, "ingest", name)

    @property
    def offset(self) -> int:
        """How many bytes are there already: go on after them."""
        if self._complete and self._wanted is not None:
            return self._wanted.size
        return self._hashing.size

    def write(self, chunk: bytes | memoryview) -> None:
        """Add bytes.

        Raises: DigestMismatch at the first byte that is too many; HostError: ENOSPC.
        """
        if self._wanted is not None and self.offset + len(chunk) > self._wanted.size:
            self._hashing.update(chunk)
            self._refuse()
        try:
            view = memoryview(chunk)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as refused:
            raise state.unusable(self._partial, refused) from refused
        self._hashing.update(chunk)

    def commit(self) -> Descriptor:
        """Check the blob and put it into its place, where everybody sees it.

        Returns: its descriptor.
        Raises: DigestMismatch, and what was written is thrown away; HostError: ENOSPC.
        Kernel: fsync(2), rename(2).
        """
        if self._complete and self._wanted is not None:
            return self._wanted
        wanted, found = self._wanted, self._hashing
        if wanted and (found.digest, found.size) != (wanted.digest, wanted.size):
            self._refuse()
        place = blob_path(self._root, found.digest)
        try:
            os.makedirs(os.path.dirname(place), 0o700, exist_ok=True)
            # Before rename, because the new name may reach the disk before the bytes.
            os.fsync(self._fd)
            os.rename(self._partial, place)
            state.sync(os.path.dirname(place))
        except OSError as refused:
            raise state.unusable(place, refused) from refused
        self._complete = True
        return wanted or Descriptor(self._media_type, found.digest, found.size)

    def __enter__(self) -> Self:
        lease = locks.hold(os.path.join(self._root, "lock"), alone=False)
        self._held.enter_context(lease)
        try:
            self._open()
        except BaseException:
            self._held.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._fd >= 0:
            if self._wanted is None and not self._complete:
                os.unlink(self._partial)  # nobody could go on with it
            os.close(self._fd)
        self._held.close()

    def _open(self) -> None:
        deadline = time.monotonic() + _WAIT_S
        while not self._is_there() and not self._take():
            if time.monotonic() > deadline:
                raise StateError(
                    f"blob {self._partial}: in use for more than {_WAIT_S} s",
                    "wait for the other process that brings it, or end that one",
                    meaning="another process is bringing the same blob",
                )
            time.sleep(_POLL_S)
        if self._fd >= 0:
            self._go_on()

    def _is_there(self) -> bool:
        if self._wanted is not None:
            path = blob_path(self._root, self._wanted.digest)
            self._complete = os.path.exists(path)
        return self._complete

    def _take(self) -> bool:
        # The lock is the partial file's own. Its name may have gone between open and
        # flock: then whoever had it has brought the blob, or has thrown it away.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            fd = os.open(self._partial, flags, 0o600)
        except OSError as refused:
            raise state.unusable(self._partial, refused) from refused
        if locks.try_hold(fd, alone=True) and _is_named(fd, self._partial):
            self._fd = fd
            return True
        os.close(fd)
        return False

    def _go_on(self) -> None:
        if self._wanted is None or os.fstat(self._fd).st_size > self._wanted.size:
            os.ftruncate(self._fd, 0)
        # Hashed again and not believed: a power cut may have left a hole in it.
        while chunk := os.read(self._fd, _CHUNK):
            self._hashing.update(chunk)

    def _refuse(self) -> None:
        os.unlink(self._partial)
        os.close(self._fd)
        self._fd = -1
        if self._wanted is not None:
            check(self._hashing, self._wanted.digest, self._wanted.size, "blob")


def blob_path(root: str, digest: Digest) -> str:
    """Return where a blob is: image-spec, image-layout.md, "Blobs"."""
    return os.path.join(root, "blobs", digest.algorithm, digest.encoded)


def _is_named(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False
