"""Tar archives: in all forms, as Python's tarfile sees them, and broken in all ways."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import DocumentError
from labkit.layers.compression import CHUNK, Compressor, Decompressed
from labkit.layers.tar_member import BLOCK, Kind, Member
from labkit.layers.tar_reader import TarReader
from labkit.layers.tar_writer import TarWriter
from tests.support.archives import HARD, archive, entry, hole

LIMIT = 1 << 30


class Bytes:
    """A stream that gives one byte too few at a time, as a slow network does."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def exactly(self, count: int) -> bytes:
        return self._file.read(count)

    def some(self, most: int) -> bytes:
        return self._file.read(max(1, min(most, 700)))


def read(data: bytes) -> list[tuple[Member, bytes]]:
    reader = TarReader(Bytes(data))
    return [
        (member, b"".join(bytes(piece) for _, piece in reader.pieces(member)))
        for member in reader
    ]


def written(members: list[tuple[Member, bytes]]) -> bytes:
    out = io.BytesIO()
    writer = TarWriter(out.write)
    for member, data in members:
        writer.add(member, io.BytesIO(data) if member.kind is Kind.FILE else None)
    writer.end()
    return out.getvalue()


def as_tarfile_sees(data: bytes) -> list[tuple[Any, ...]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [
            (m.name, m.mode, m.uid, m.gid, int(m.mtime), m.linkname, _content(tar, m))
            for m in tar
        ]


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    content = tar.extractfile(member) if member.isreg() else None
    return content.read() if content else b""


@pytest.mark.parametrize("name", [n for n in HARD if not n.startswith("sparse")])
def test_every_form_is_read_as_tarfile_reads_it(name: str) -> None:
    for data in HARD[name]:
        ours = [
            (m.name.rstrip("/"), m.mode, m.uid, m.gid, m.mtime_ns // 10**9, m.link, d)
            for m, d in read(data)
        ]
        theirs = as_tarfile_sees(data)
        for mine, other in zip(ours, theirs, strict=True):
            assert mine[:4] == other[:4]
            assert mine[4] - other[4] in (0, -1)  # tarfile rounds towards zero
            assert mine[5:] == other[5:]


@pytest.mark.parametrize("name", ["sparse-1.0", "sparse-0.1"])
def test_a_file_with_holes_has_its_bytes_where_they_belong(name: str) -> None:
    reader = TarReader(Bytes(HARD[name][0]))
    for member in reader:
        assert member.name == "holes"
        assert member.real_size == 3 * 2**20 + 5
        found = [(offset, bytes(data)) for offset, data in reader.pieces(member)]
        assert found == [(0, b"first"), (2**20, b"second!"), (3 * 2**20, b"third")]


texts = st.text(
    st.characters(blacklist_characters="\0/", blacklist_categories=["Cs"]),
    min_size=1,
    max_size=150,
).filter(lambda text: text not in (".", ".."))
names = st.lists(texts, min_size=1, max_size=3).map("/".join)
numbers = st.integers(0, 2**32 - 2)
members = st.builds(
    Member,
    name=names,
    mode=st.integers(0, 0o7777),
    uid=numbers,
    gid=numbers,
    mtime_ns=st.integers(-(2**61), 2**62),
    xattrs=st.dictionaries(st.just("user.x"), st.binary(max_size=20)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(members, st.binary(max_size=1500)), max_size=4))
def test_what_is_written_is_read_again(rows: list[tuple[Member, bytes]]) -> None:
    for member, data in rows:
        member.size = len(data)
    assert read(written(rows)) == rows


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(members, st.binary(max_size=600)), max_size=3))
def test_tarfile_reads_what_is_written(rows: list[tuple[Member, bytes]]) -> None:
    for member, data in rows:
        member.size = len(data)
    seen = as_tarfile_sees(written(rows))
    assert [row[0] for row in seen] == [m.name.rstrip("/") for m, _ in rows]
    assert [row[-1] for row in seen] == [data for _, data in rows]


ALL = [data for archives in HARD.values() for data in archives if len(data) < 50_000]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(ALL),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=6),
    st.integers(0, 10_000),
)
def test_a_damaged_archive_is_read_or_refused(
    data: bytes, changes: list[tuple[int, int]], length: int
) -> None:
    damaged = bytearray(data[:length] if length < len(data) else data)
    for place, value in changes:
        if place < len(damaged):
            damaged[place] = value
    _read_or_refuse(_with_right_checksums(bytes(damaged)))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=3000))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    _read_or_refuse(data)


def _read_or_refuse(data: bytes) -> None:
    try:
        read(data)
    except DocumentError as refused:
        assert len(str(refused).splitlines()) == 3


def _with_right_checksums(data: bytes) -> bytes:
    # Else nearly every change ends at the checksum.
    fixed = bytearray(data)
    for start in range(0, len(data) - BLOCK + 1, BLOCK):
        block = fixed[start : start + BLOCK]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            fixed[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    return bytes(fixed)


def changed(place: int, value: bytes, kind: bytes = b"0") -> bytes:
    data = bytearray(archive([entry("x" * 20, "12345")]))
    data[place : place + len(value)] = value
    data[156:157] = kind
    return _with_right_checksums(bytes(data))


def pax(records: bytes) -> bytes:
    head = bytearray(archive([entry("x", records)]))
    head[156:157] = b"x"
    return _with_right_checksums(
        bytes(head[: 512 * (1 + -(-len(records) // 512))]) + archive([entry("y", "5")])
    )


BROKEN = {
    "no archive": b"this is no archive" * 100,
    "a wrong checksum": bytes(archive([entry("x", "1")])).replace(b"x", b"y", 1),
    "a size that is no number": changed(124, b"12x4567890\0"),
    "a size of eights": changed(124, b"0000000888\0"),
    "a negative size": changed(124, b"\xff" * 12),
    "a huge size": changed(124, b"\x80" + b"\x7f" * 11),
    "an unknown kind": changed(0, b"x", b"Z"),
    "a user id of 32 ones": changed(108, b"\x80\0\0\0\xff\xff\xff\xff"),
    "a device without a number": changed(329, b"\x80\x01\0\0\0\0\0\0", b"3"),
    "a long name of a gigabyte": changed(124, b"07777777777\0", b"L"),
    "records of a gigabyte": changed(124, b"07777777777\0", b"x"),
    "a record that is too long": pax(b"99 path=a\n"),
    "a record without an end": pax(b"9 path=ab"),
    "a record without a length": pax(b"x path=a\n"),
    "a record of length nothing": pax(b"0 path=a\n"),
    "a name with a NUL byte": pax(b"12 path=a\0b\n"),
    "a time that is none": pax(b"12 mtime=x1\n"),
    "an endless time": pax(b"13 mtime=nan\n"),
    "a time beyond all": pax(b"16 mtime=9e999\n"),
    "a time beyond what can be counted": pax(b"18 mtime=9e999995\n"),
    "a hole beyond all": archive([hole(2**63)]),
    "a part beyond all": pax(
        b"40 GNU.sparse.size=" + b"9" * 20 + b"\n"
        b"40 GNU.sparse.map=9999999999999999999,1\n"
    ),
    "members behind the end": archive([entry("x", "1")])[:1536] + archive([entry("y")]),
    "a size that is none": pax(b"11 size=-1\n"),
    "a sparse map that goes back": pax(
        b"21 GNU.sparse.size=9\n" b"24 GNU.sparse.map=5,1,0,0\n"
    ),
    "a sparse map of odd length": pax(b"20 GNU.sparse.map=1\n"),
    "an archive cut in a file": archive([entry("x", "1" * 3000)])[:1500],
    "an archive cut in a header": archive([entry("x", "1")])[:300],
}  # fmt: skip


def test_an_archive_may_end_without_padding() -> None:
    # As umoci writes it.
    whole = archive([entry("x", "12345")])
    assert read(whole[:517]) == read(whole)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_archive_is_refused_in_three_lines(name: str) -> None:
    with pytest.raises(DocumentError) as refused:
        read(BROKEN[name])
    assert len(str(refused.value).splitlines()) == 3


def packed_by_isal(data: bytes) -> bytes:
    out = io.BytesIO()
    packed = Compressor(out.write)
    packed.write(data)
    packed.finish()
    return out.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip in two": lambda data: gzip.compress(data[:999]) + gzip.compress(data[999:]),
    "gzip with padding": lambda data: gzip.compress(data) + bytes(700),
    "zstd": zstandard.compress,
    "zstd in two": lambda d: zstandard.compress(d[:999]) + zstandard.compress(d[999:]),
    "the lab's own": packed_by_isal,
}
MANY = HARD["many"][0]


def unpacked(data: bytes, limit: int = LIMIT) -> tuple[bytes, str]:
    with Decompressed(io.BufferedReader(io.BytesIO(data)), limit) as archive:
        parts = []
        while part := archive.some(CHUNK):
            parts.append(bytes(part))
        return b"".join(parts), archive.digest


@pytest.mark.parametrize("name", PACKERS)
def test_every_compression_gives_the_archive_back(name: str) -> None:
    assert unpacked(PACKERS[name](MANY))[0] == MANY


def test_a_step_that_gives_nothing_is_not_the_end() -> None:
    # The first step sees the header of the first part only.
    parts = gzip.compress(b"") * 50 + gzip.compress(MANY) + gzip.compress(b"")
    assert unpacked(parts)[0] == MANY


def test_the_same_archive_is_packed_to_the_same_bytes() -> None:
    assert packed_by_isal(MANY) == packed_by_isal(MANY)


@pytest.mark.parametrize("name", ["gzip", "zstd", "the lab's own"])
def test_a_damaged_blob_is_refused(name: str) -> None:
    data = PACKERS[name](MANY)
    for wrong in (data[:-20], data[: len(data) // 2], data[:-4] + b"1234"):
        with pytest.raises(DocumentError, match="decompressed"):
            unpacked(wrong)


def test_bytes_after_the_end_are_refused() -> None:
    for padding in (b"", bytes(3 << 20)):
        with pytest.raises(DocumentError, match="after its end"):
            unpacked(gzip.compress(MANY) + padding + b"more")


def test_many_small_frames_of_zstd_are_not_gathered_in_memory() -> None:
    # Each step of the reader is as long as whole frames; the last of them is empty.
    frames = zstandard.compress(bytes(1 << 17)) * 90
    step = frames + b"\x50\x2a\x4d\x18" + (2040 - len(frames)).to_bytes(4, "little")
    bomb = step.ljust(2048, b"\0") * 4
    with Decompressed(io.BufferedReader(io.BytesIO(bomb)), LIMIT) as archive:
        assert len(archive.some(LIMIT)) < 2 << 20


def test_a_bomb_is_refused_long_before_it_fills_the_disk() -> None:
    bomb = gzip.compress(bytes(200 << 20), 9)
    assert len(bomb) * 1000 < 210 << 20
    with pytest.raises(DocumentError, match="more than 1000000 bytes"):
        unpacked(bomb, 1_000_000)


def test_whoever_stops_reading_leaves_no_thread(recwarn: Any) -> None:
    import threading

    before = threading.active_count()
    with Decompressed(io.BufferedReader(io.BytesIO(bytes(50 << 20))), LIMIT) as archive:
        archive.some(1)
    assert threading.active_count() == before
