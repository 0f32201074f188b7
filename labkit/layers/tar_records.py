"""What doesn't fit into a tar header: PAX records, and GNU's four ways to be sparse.

    30 path=a/very/long/name ...          length, keyword, value: before its member
    SCHILY.xattr.security.capability      an extended attribute, as star invented them
    GNU.sparse.map, GNU.sparse.realsize   where the bytes of a file with holes belong

Reading order: read_records, apply_records, write_records, the sparse maps. Chapter 11.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from decimal import Decimal

from labkit.layers.tar_member import Member, broken, fits, number

XATTR = "SCHILY.xattr."

Records = list[tuple[str, bytes]]
Parts = list[tuple[int, int]]

_SPARSE = "GNU.sparse."
_MOST_PARTS = 1 << 20
_LARGEST = (1 << 63) - 1  # bytes: off_t
# Where the old form has its map: in the header, and in blocks that follow it.
_OLD_PARTS, _OLD_MORE, _OLD_SIZE = slice(386, 482), 482, slice(483, 495)
_MORE_PARTS, _MORE_MORE = slice(0, 504), 504


def read_records(data: bytes) -> Records:
    """Read PAX records, in order: a keyword may come more than once.

    Raises: DocumentError when lengths and line ends don't agree.
    Spec: POSIX, pax, "pax Header Format".
    """
    records, rest = [], memoryview(data)
    while rest and rest[0] != 0:
        length, space, _ = bytes(rest[:20]).partition(b" ")
        end = int(length) if space and length.isdigit() else 0
        record = bytes(rest[len(length) + 1 : end])
        keyword, equals, value = record.partition(b"=")
        if end > len(rest) or not equals or value[-1:] != b"\n" or b"\0" in keyword:
            raise broken("a PAX record has the wrong length")
        records.append((os.fsdecode(keyword), value[:-1]))
        rest = rest[end:]
    return records


def apply_records(member: Member, records: Records) -> None:
    """Let records say what the header says otherwise, or can't say.

    Raises: DocumentError for a value that is none.
    """
    for keyword, value in records:
        if keyword.startswith(XATTR):
            member.xattrs[keyword.removeprefix(XATTR)] = value
        elif setter := _SETTERS.get(keyword):
            if b"\0" in value:
                raise broken(f"the PAX record {keyword} has a NUL byte")
            setter(member, value)
    _apply_sparse(member, records)


def write_records(member: Member) -> bytes:
    """Return the records that a member needs beside its header; none for most."""
    records: Records = []
    for keyword, value in (("path", member.name), ("linkpath", member.link)):
        encoded = os.fsencode(value)
        # Other bytes than ASCII say in a record that they are UTF-8.
        if len(encoded) > 100 or not encoded.isascii():
            records.append((keyword, encoded))
    for keyword, number_of, width in (
        ("size", member.size, 12),
        ("uid", member.uid, 8),
        ("gid", member.gid, 8),
    ):
        if not fits(number_of, width):
            records.append((keyword, b"%d" % number_of))
    seconds, fraction = divmod(member.mtime_ns, 10**9)
    if fraction or not fits(seconds, 12):
        exact = format(Decimal(member.mtime_ns) / 10**9, "f")
        records.append(("mtime", exact.encode()))
    records += [(f"{XATTR}{n}", v) for n, v in sorted(member.xattrs.items())]
    return b"".join(_record(keyword, value) for keyword, value in records)


def old_sparse_map(block: bytes, more: Callable[[], bytes]) -> tuple[Parts, int]:
    """Read the map of typeflag S.

    Args: block [the header]; more [reads a further block].
    Returns: the parts, and the size of the whole file.
    Spec: GNU tar, "Old GNU Format".
    """
    parts, size = _old_parts(block[_OLD_PARTS]), number(block[_OLD_SIZE])
    going_on = block[_OLD_MORE]
    while going_on and len(parts) < _MOST_PARTS:
        block = more()
        parts += _old_parts(block[_MORE_PARTS])
        going_on = block[_MORE_MORE]
    return parts, size


def sparse_map_in_data(line: Callable[[], bytes]) -> Parts:
    """Read the map that stands before the bytes, a number on a line (version 1.0)."""
    count = _whole(line())
    if count > _MOST_PARTS:
        raise broken(f"a sparse file has more than {_MOST_PARTS} parts")
    return [(_whole(line()), _whole(line())) for _ in range(count)]


def check_parts(member: Member) -> None:
    """Refuse a map whose parts overlap, go back, or aren't the bytes that follow."""
    end, total = 0, 0
    for offset, length in member.parts or ():
        if offset < end or length < 0:
            raise broken("the parts of a sparse file overlap")
        end, total = offset + length, total + length
    fits_in = end <= member.real_size <= _LARGEST
    if not fits_in or total != member.size:
        raise broken("the parts of a sparse file don't fit into it")


def _apply_sparse(member: Member, records: Records) -> None:
    said = {key.removeprefix(_SPARSE): v for key, v in records if _SPARSE in key[:11]}
    if not said:
        return
    member.real_size = _whole(said.get("realsize") or said.get("size") or b"0")
    if "name" in said:
        member.name = os.fsdecode(said["name"])
    if said.get("major") == b"1":
        member.parts = []  # the map is in the data: the reader goes on
    elif "map" in said:
        numbers = said["map"].split(b",") if said["map"] else []
        member.parts = _pairs([_whole(n) for n in numbers])
    elif "numblocks" in said:
        keys = (f"{_SPARSE}offset", f"{_SPARSE}numbytes")
        member.parts = _pairs([_whole(v) for key, v in records if key in keys])


def _pairs(numbers: Sequence[int]) -> Parts:
    if len(numbers) % 2 or len(numbers) > 2 * _MOST_PARTS:
        raise broken("the map of a sparse file is none")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _old_parts(data: bytes) -> Parts:
    rows = (data[i : i + 24] for i in range(0, len(data), 24))
    parts = [(number(row[:12]), number(row[12:])) for row in rows]
    return [part for part in parts if part != (0, 0)]


def _record(keyword: str, value: bytes) -> bytes:
    record = b" " + os.fsencode(keyword) + b"=" + value + b"\n"
    # The length counts its own digits.
    length = len(record) + len(str(len(record)))
    length = len(record) + len(str(length))
    return b"%d" % length + record


def _whole(value: bytes) -> int:
    digits = value.strip()
    if not digits.isdigit() or len(digits) > 20:
        raise broken("a number in a PAX record is none")
    return int(digits)


def _set_mtime(member: Member, value: bytes) -> None:
    try:
        member.mtime_ns = int(Decimal(value.decode("ascii")) * 10**9 // 1)
    except (ArithmeticError, ValueError):
        raise broken("a time in a PAX record is none") from None


def _set_path(member: Member, value: bytes) -> None:
    member.name = os.fsdecode(value)


def _set_link(member: Member, value: bytes) -> None:
    member.link = os.fsdecode(value)


def _set_number(name: str) -> Callable[[Member, bytes], None]:
    return lambda member, value: setattr(member, name, _whole(value))


_SETTERS: dict[str, Callable[[Member, bytes], None]] = {
    "path": _set_path,
    "linkpath": _set_link,
    "size": _set_number("size"),
    "uid": _set_number("uid"),
    "gid": _set_number("gid"),
    "mtime": _set_mtime,
}
