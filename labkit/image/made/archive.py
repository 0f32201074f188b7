"""Entries as a layer: a tar archive, packed with gzip; the same bytes every time.

What would differ from one day or machine to the next is fixed: the order of the names,
the times, the owners; and gzip's header has neither a name nor a time.

Spec: image-spec, layer.md; RFC 1952.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from labkit.image import media_types
from labkit.image.descriptor import Descriptor
from labkit.image.digest import Digest, Hashing
from labkit.image.store import Store
from labkit.rootfs.entries import MTIME_S, Entry, Kind

_LEVEL = 6
_GZIP = 31  # zlib.h, deflateInit2: a window of 15 bits, and 16 for gzip's header
_TYPES = {
    Kind.DIRECTORY: tarfile.DIRTYPE,
    Kind.FILE: tarfile.REGTYPE,
    Kind.LINK: tarfile.SYMTYPE,
}


@dataclass(frozen=True, slots=True)
class Packed:
    """A layer in the store."""

    descriptor: Descriptor  # of the packed bytes
    diff_id: Digest  # of the archive before it was packed
    size: int  # of that archive


def pack(entries: Iterable[Entry], store: Store) -> Packed:
    """Write entries as a layer into a store.

    Args: entries [parents before children].
    Raises: HostError: ENOSPC.
    """
    plain, squeeze = Hashing(), zlib.compressobj(_LEVEL, wbits=_GZIP)
    with store.create(media_types.LAYER_GZIP) as blob:

        def write(chunk: bytes) -> None:
            plain.update(chunk)
            blob.write(squeeze.compress(chunk))

        with tarfile.open(
            fileobj=_Sink(write), mode="w|", format=tarfile.PAX_FORMAT
        ) as tar:
            for entry in entries:
                tar.addfile(_header(entry), io.BytesIO(_content(entry)))
        blob.write(squeeze.flush())
        return Packed(blob.commit(), plain.digest, plain.size)


class _Sink(io.RawIOBase):
    # A file that hands on what is written to it.
    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write

    def writable(self) -> bool:
        return True

    def write(self, chunk: bytes) -> int:  # type: ignore[override]
        self._write(chunk)
        return len(chunk)


def _header(entry: Entry) -> tarfile.TarInfo:
    header = tarfile.TarInfo(entry.path)
    header.type, header.mode, header.mtime = _TYPES[entry.kind], entry.mode, MTIME_S
    if entry.kind is Kind.LINK:
        header.linkname = (entry.content or b"").decode()
    else:
        header.size = len(_content(entry))
    return header


def _content(entry: Entry) -> bytes:
    return entry.content or b"" if entry.kind is Kind.FILE else b""
