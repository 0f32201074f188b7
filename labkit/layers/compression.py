"""Layers are compressed: gzip (nearly all), zstd (new ones), or not at all. Chapter 11.

    blob  --verify-->  decompress  --hash-->  tar archive
          sha256:...                sha256:... , the diff_id

Decompressing and both hashes happen in a thread of their own, a few chunks ahead of
whoever reads: they are C code that doesn't hold the interpreter's lock.

Reading order: Form, Decompressed, Compressor.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Iterator
from enum import StrEnum
from io import BufferedReader
from types import TracebackType
from typing import Self, cast

import zstandard
from isal import igzip_lib, isal_zlib

from labkit.errors import DocumentError
from labkit.layers.tar_member import broken

CHUNK = 1 << 20

_AHEAD = 8  # chunks
_STEP = 2048  # bytes
_LARGEST_WINDOW = 1 << 27  # bytes; RFC 8878 lets a decoder refuse larger ones
_LOOK_S = 0.1
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_WITH_GZIP_HEADER = 16 + 15  # zlib.h, windowBits
_GZIP_LEVEL = (
    2  # of isal's 0 to 3: a tenth more than gzip -6, in a fifteenth of its time
)
# Its stub says that it is an error, not a class of errors.
_ISAL = cast(type[Exception], igzip_lib.IsalError)


class Form(StrEnum):
    """How a layer is compressed."""

    PLAIN = "plain"
    GZIP = "gzip"
    ZSTD = "zstd"


class Decompressed:
    """A layer's tar archive, from its blob; a context, because a thread belongs to it.

    Args: blob [compressed or not: its first bytes say]; most_bytes [how long the
        archive may become: a megabyte of gzip can hold a gigabyte of zeros].
    Raises, when read: DocumentError for a broken blob or too long an archive; what
        reading the blob raises.
    """

    def __init__(self, blob: BufferedReader, most_bytes: int) -> None:
        self._blob, self._most_bytes = blob, most_bytes
        self._chunks: queue.Queue[bytes | Exception] = queue.Queue(_AHEAD)
        self._now = memoryview(b"")
        self._unwanted = threading.Event()
        self._thread = threading.Thread(target=self._produce, daemon=True)
        self._archive = Sha256()

    @property
    def digest(self) -> str:
        """The archive's, the diff_id; complete when the end was read."""
        return self._archive.digest

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._unwanted.set()
        self._thread.join()
        self._blob.close()

    def some(self, most: int) -> bytes | memoryview:
        """Return what is there, at least one byte; none at the end."""
        if not self._now:
            self._now = memoryview(self._next())
        data, self._now = self._now[:most], self._now[most:]
        return data

    def exactly(self, count: int) -> bytes:
        """Return so many bytes; fewer only at the end."""
        data = self.some(count)
        if len(data) == count:
            return bytes(data)
        parts = [data]
        while data and (count := count - len(data)):
            data = self.some(count)
            parts.append(data)
        return b"".join(parts)

    def drain(self) -> None:
        """Read to the end, so that both hashes are of everything."""
        while self.some(CHUNK):
            pass

    def _next(self) -> bytes:
        chunk = self._chunks.get()
        if isinstance(chunk, bytes) and chunk:
            return chunk
        self._chunks.put(chunk)  # the end, or an error: for whoever reads on
        if isinstance(chunk, Exception):
            raise chunk
        return b""

    def _produce(self) -> None:
        last: bytes | Exception = b""
        try:
            # A step may give nothing yet; an empty chunk would mean the end.
            for chunk in filter(None, self._decompress()):
                self._archive.update(chunk)
                if self._archive.size > self._most_bytes:
                    raise _too_long(self._most_bytes)
                if not self._put(chunk):
                    return
        except (_ISAL, zstandard.ZstdError, EOFError) as problem:
            last = broken(f"it can't be decompressed: {problem}")
        except Exception as problem:
            last = problem  # raised by `_next`, in the thread that reads
        self._put(last)

    def _put(self, chunk: bytes | Exception) -> bool:
        while not self._unwanted.is_set():
            try:
                self._chunks.put(chunk, timeout=_LOOK_S)
            except queue.Full:
                continue
            return True
        return False

    def _decompress(self) -> Iterator[bytes]:
        form = form_of(self._blob)
        if form is Form.GZIP:
            return self._gunzip()
        if form is Form.ZSTD:
            return self._unzstd()
        return _chunks(self._blob)

    def _gunzip(self) -> Iterator[bytes]:
        # A gzip file may be several, one after the other (RFC 1952, 2.2).
        data = self._blob.read(CHUNK)
        while data.startswith(_GZIP):
            one = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
            while not one.eof:
                if one.needs_input and not data:
                    data = self._more()
                yield one.decompress(data, CHUNK)
                data = b""
            data = one.unused_data or self._blob.read(CHUNK)
        while data:  # padding, at most; the blob's own hash wants all of it read
            if data.strip(b"\0"):
                raise EOFError("there are bytes after its end")
            data = self._blob.read(CHUNK)

    def _unzstd(self) -> Iterator[bytes]:
        # In small steps, because 4 bytes of zstd can hold 128 KiB, and all that one
        # step gives is in memory at once.
        ready = bytearray()
        for part in self._unzstd_steps():
            ready += part
            if len(ready) >= CHUNK:
                yield bytes(ready)
                ready.clear()
        yield bytes(ready)

    def _unzstd_steps(self) -> Iterator[bytes]:
        # A zstd file may be several frames, one after the other (RFC 8878, 3).
        zstd = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
        data = self._blob.read(_STEP)
        while data:
            one = zstd.decompressobj()
            yield one.decompress(data)
            while not one.eof:
                yield one.decompress(self._more(_STEP))
            data = one.unused_data or self._blob.read(_STEP)

    def _more(self, count: int = CHUNK) -> bytes:
        data = self._blob.read(count)
        if not data:
            raise EOFError("it ends too early")
        return data


class Compressor:
    """The other way: an archive goes in, a gzip blob comes out.

    The same archive gives the same blob: no time and no name is in it.

    Args: to [takes the blob's bytes].
    """

    def __init__(self, to: Callable[[bytes], object]) -> None:
        self._to = to
        self._gzip = isal_zlib.compressobj(_GZIP_LEVEL, wbits=_WITH_GZIP_HEADER)
        self._archive = Sha256()

    @property
    def digest(self) -> str:
        """The archive's, the diff_id."""
        return self._archive.digest

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes of the archive."""
        self._archive.update(data)
        self._to(self._gzip.compress(data))

    def finish(self) -> None:
        """Write what is left."""
        self._to(self._gzip.flush())


class Sha256:
    """The hash and the length of what passes by."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        """As image documents write it."""
        return f"sha256:{self._hash.hexdigest()}"

    def update(self, data: bytes | memoryview) -> None:
        """Add bytes."""
        self._hash.update(data)
        self.size += len(data)


def form_of(blob: BufferedReader) -> Form:
    """Return how a layer is compressed; its first bytes say it."""
    first = blob.peek(len(_ZSTD))
    if first.startswith(_GZIP):
        return Form.GZIP
    return Form.ZSTD if first.startswith(_ZSTD) else Form.PLAIN


def _chunks(stream: BufferedReader) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def _too_long(most_bytes: int) -> DocumentError:
    return DocumentError(
        f"layer: more than {most_bytes} bytes when it is decompressed",
        "allow more with Limits(bytes=...), if you trust whoever made the image",
        "chapter 11",
        meaning="a few bytes can be compressed from very many, to fill your disk",
    )
