"""Blobs in OCI layout form: a file for each, under its digest. Chapter 11.

    oci-layout               {"imageLayoutVersion": "1.0.0"}
    blobs/sha256/4bf0...     a layer
    blobs/sha256/9c7a...     a manifest: to the store all blobs are the same
    ingest/sha256-77...      not complete yet

The same bytes are kept once, whoever brings them. They are hashed when they come in and
again whenever they are read: a disk forgets, too.

Reading order: Blobs, VerifiedReader.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import suppress

from labkit import state
from labkit.errors import StateError
from labkit.image import fields
from labkit.image.descriptor import Descriptor
from labkit.image.digest import Digest, DigestMismatch, Hashing, check
from labkit.image.ingest import Ingest, blob_path
from labkit.linux.views import HostPath

_BUFFER = 1 << 20


class NoSuchBlob(StateError):
    """The store doesn't have these bytes."""


class Blobs:
    """What a store keeps: bytes, each under its digest.

    Args: root [host path; made if need be].
    """

    def __init__(self, root: HostPath) -> None:
        self.root = root
        try:
            for folder in ("blobs/sha256", "ingest"):
                os.makedirs(os.path.join(root, folder), 0o700, exist_ok=True)
        except OSError as refused:
            raise state.unusable(root, refused) from refused
        layout = HostPath(os.path.join(root, "oci-layout"))
        if not os.path.exists(layout):
            state.write(layout, '{"imageLayoutVersion":"1.0.0"}\n')

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.root}>"

    def has(self, digest: Digest) -> bool:
        """Say whether the blob is here, complete."""
        return os.path.exists(self.path(digest))

    def path(self, digest: Digest) -> HostPath:
        """Return where the blob is or would be."""
        return HostPath(blob_path(self.root, digest))

    def open(self, descriptor: Descriptor) -> io.BufferedReader:
        """Return the bytes of a blob, to be read once from start to end.

        Raises: NoSuchBlob; DigestMismatch, at the end of the file at the latest. The
            blob is set aside then, so that it can be fetched again.
        """
        digest = descriptor.digest
        try:
            raw = io.FileIO(self.path(digest))
        except FileNotFoundError:
            raise NoSuchBlob(
                f"blob {digest}: not in {self.root}",
                "pull or load the image again: what is there isn't fetched twice",
                "chapter 11",
                meaning="a document names these bytes, and they aren't here",
            ) from None
        reader = VerifiedReader(raw, descriptor, lambda: self._set_aside(digest))
        return io.BufferedReader(reader, _BUFFER)

    def read(self, descriptor: Descriptor) -> bytes:
        """Return a whole document, verified.

        Raises: what `open` raises; DocumentError for one that is too long.
        """
        if descriptor.size > fields.LONGEST:
            raise fields.too_long("document", descriptor.size)
        with self.open(descriptor) as blob:
            return blob.read()

    def write(self, data: bytes, media_type: str) -> Descriptor:
        """Keep bytes.

        Returns: their descriptor.
        Raises: HostError: ENOSPC.
        """
        descriptor = Descriptor.of(data, media_type)
        with self.ingest(descriptor) as blob:
            blob.write(data[blob.offset :])
            return blob.commit()

    def ingest(self, descriptor: Descriptor) -> Ingest:
        """Bring in a blob whose digest is known; see Ingest."""
        return Ingest(self.root, descriptor.media_type, descriptor)

    def create(self, media_type: str) -> Ingest:
        """Bring in a blob that is being made: its bytes decide the digest."""
        return Ingest(self.root, media_type, None)

    def all(self) -> Iterator[Digest]:
        """Yield the digests of all blobs that are complete."""
        for algorithm in sorted(os.listdir(os.path.join(self.root, "blobs"))):
            folder = os.path.join(self.root, "blobs", algorithm)
            yield from (Digest(f"{algorithm}:{n}") for n in sorted(os.listdir(folder)))

    def _set_aside(self, digest: Digest) -> None:
        damaged = os.path.join(self.root, "ingest", f"{digest.encoded}.damaged")
        # Somebody else may have done it, or have brought it anew meanwhile.
        with suppress(FileNotFoundError):
            os.rename(self.path(digest), damaged)


class VerifiedReader(io.RawIOBase):
    """Bytes that are hashed as they are read; the last come only if all are right."""

    def __init__(
        self, raw: io.RawIOBase, promised: Descriptor, on_mismatch: Callable[[], None]
    ) -> None:
        self._raw, self._promised, self._on_mismatch = raw, promised, on_mismatch
        self._hashing = Hashing(promised.digest.algorithm)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        count = self._raw.readinto(buffer) or 0
        with memoryview(buffer) as view:
            self._hashing.update(view[:count])
        # Before the last bytes are given away: who counts them won't ask for more.
        if count == 0 or self._hashing.size >= self._promised.size:
            self._check()
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()

    def _check(self) -> None:
        try:
            promised = self._promised
            check(self._hashing, promised.digest, promised.size, "blob")
        except DigestMismatch:
            self._on_mismatch()
            raise
