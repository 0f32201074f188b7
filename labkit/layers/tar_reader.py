"""Reading a tar archive from a stream, forward only. Chapter 11.

    for member in TarReader(stream):      everything that is said about one name
        for offset, data in reader.pieces(member): ...

All forms that layers come in: POSIX (ustar, PAX), GNU (long names, binary numbers), all
four ways of GNU to write a sparse file, and what was before them.

Reading order: Stream, TarReader.
Left out: PAX records for all members that follow (typeflag g), as with everybody who
reads layers; volumes and incremental dumps of GNU tar.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from labkit.layers.tar_member import (
    BLOCK,
    Kind,
    Member,
    broken,
    known_kind,
    read_header,
    text,
)
from labkit.layers.tar_records import (
    Records,
    apply_records,
    check_parts,
    old_sparse_map,
    read_records,
    sparse_map_in_data,
)

LONGEST_RECORDS = 1 << 20
"""Bytes of PAX records or of a long name: what Go's programs take, too."""

_EMPTY = bytes(BLOCK)
_NO_ID = (1 << 32) - 1


class Stream(Protocol):
    """Bytes that come once."""

    def exactly(self, count: int) -> bytes:
        """Return so many bytes; fewer only at the end."""

    def some(self, most: int) -> bytes | memoryview:
        """Return what is there, at least one byte; none at the end."""


class TarReader:
    """The members of an archive, one after the other.

    Args: stream [at the archive's first byte].
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._left = 0  # bytes of the member's that weren't read yet
        self._padding = 0  # up to the next block

    def __iter__(self) -> Iterator[Member]:
        records: Records = []
        longer: dict[str, str] = {}
        while block := self._next_block():
            member = read_header(block)
            if member.size < 0:
                raise broken("a size below zero")
            self._left, self._padding = member.size, -member.size % BLOCK
            if member.kind == "x":
                records = read_records(self._special(member))
            elif member.kind in ("L", "K"):
                longer[str(member.kind)] = text(self._special(member))
            elif member.kind not in ("g", "V"):
                member.name = longer.get("L", member.name)
                member.link = longer.get("K", member.link)
                yield self._complete(member, block, records)
                records, longer = [], {}

    def pieces(self, member: Member) -> Iterator[tuple[int, bytes | memoryview]]:
        """Yield the bytes of a file, each piece with its offset in the file."""
        parts = [(0, member.size)] if member.parts is None else member.parts
        for start, length in parts:
            offset, end = start, start + length
            while offset < end:
                data = self._data(end - offset)
                yield offset, data
                offset += len(data)

    def _complete(self, member: Member, block: bytes, records: Records) -> Member:
        apply_records(member, records)
        if member.kind == "S":
            found = old_sparse_map(block, lambda: self._exactly(BLOCK))
            member.parts, member.real_size = found
        member.kind = known_kind(member)
        if member.kind is not Kind.FILE:
            # Some writers say the size of a link's target, and write no bytes.
            member.size, member.parts = 0, None
        self._left, self._padding = member.size, -member.size % BLOCK
        if member.parts is not None:
            self._read_sparse(member)
        # (uid_t) -1 means "as it is" to chown(2); a file system has seconds of 64 bits.
        ids_are_right = all(0 <= n < _NO_ID for n in (member.uid, member.gid))
        if not ids_are_right or abs(member.mtime_ns) >= 1 << 63:
            raise broken(f'"{member.name}": an owner or a time that is none')
        return member

    def _read_sparse(self, member: Member) -> None:
        if member.parts == [] and member.size:
            member.parts = sparse_map_in_data(self._line)
            # The map fills whole blocks; what is left of its last one is empty.
            used = member.size - self._left
            self._data_exactly(-used % BLOCK)
            member.size = self._left
        check_parts(member)

    def _next_block(self) -> bytes:
        while self._left:
            self._data(self._left)
        # umoci leaves out the padding after the last member, and the end, too.
        self._stream.exactly(self._padding)
        self._padding = 0
        block = self._stream.exactly(BLOCK)
        # An archive ends with two empty blocks; one, or none, is common, too. But after
        # one some readers go on: they would see other files than this one.
        if not block or block == _EMPTY:
            if self._stream.exactly(BLOCK).strip(b"\0"):
                raise broken("it goes on behind its end")
            return b""
        if len(block) < BLOCK:
            raise _short()
        return block

    def _special(self, member: Member) -> bytes:
        if member.size > LONGEST_RECORDS:
            raise broken(f"records of {member.size} bytes; {LONGEST_RECORDS} at most")
        return self._data_exactly(member.size)

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n") and len(line) < 25 and self._left:
            line += self._data_exactly(1)
        return line

    def _data(self, most: int) -> bytes | memoryview:
        data = self._stream.some(min(most, self._left))
        if not data:
            raise _short()
        self._left -= len(data)
        return data

    def _data_exactly(self, count: int) -> bytes:
        if count > self._left:
            raise _short()
        self._left -= count
        return self._exactly(count)

    def _exactly(self, count: int) -> bytes:
        data = self._stream.exactly(count) if count else b""
        if len(data) < count:
            raise _short()
        return data


def _short() -> Exception:
    return broken("the archive ends in the middle of a member")
