"""A tar archive is a row of members: a header of 512 bytes, then the file's bytes.

    0    name            a header's fields are texts, numbers are octal digits;
    100  mode uid gid    a number too large for that is binary, with the first bit set
    124  size mtime      (GNU). The checksum is the sum of all bytes, its own counted
    148  checksum        as spaces.
    156  typeflag        0 file, 1 hard link, 2 symbolic link, 3 4 devices, 5 directory,
    157  linkname        6 fifo; x: records for the next member (PAX); L and K: its long
    257  magic ...       name or link (GNU); S: a sparse file (GNU)
    345  prefix          what stands before the name (POSIX)

Reading order: Kind, Member, read_header, header. Chapter 11.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from enum import StrEnum

from labkit.errors import DocumentError
from labkit.text import one_line

BLOCK = 512

_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_CHECKSUM = slice(148, 156)
_POSIX, _GNU = b"ustar\x0000", b"ustar  \x00"
_SPACES = b" " * 8


class Kind(StrEnum):
    """What a member is; the value is its typeflag."""

    FILE = "0"
    HARD_LINK = "1"
    SYMLINK = "2"
    CHARACTER_DEVICE = "3"
    BLOCK_DEVICE = "4"
    DIRECTORY = "5"
    FIFO = "6"


_BEFORE_1988 = "\0"  # a file; a directory when the name ends with a slash


@dataclass(slots=True)
class Member:
    """One name in the archive, with all that is said about it.

    Names that aren't UTF-8 are kept byte for byte, as os.fsdecode does. `parts` are
    the pieces of a sparse file that have bytes in the archive: (offset, length).
    """

    name: str
    kind: Kind | str = Kind.FILE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0  # of the bytes that follow in the archive
    mtime_ns: int = 0
    link: str = ""  # the target of a link
    device: int = 0  # as os.makedev
    xattrs: dict[str, bytes] = field(default_factory=dict)
    parts: list[tuple[int, int]] | None = None
    real_size: int = 0  # of a sparse file


def read_header(block: bytes) -> Member:
    """Read a header.

    Args: block [512 bytes].
    Raises: DocumentError when it is none: a wrong checksum, a number that is none.
    Spec: POSIX, pax, "ustar Interchange Format"; GNU tar, "Basic Tar Format".
    """
    fields = _HEADER.unpack(block)
    name, mode, uid, gid, size, mtime, said, flag, link, magic = fields[:10]
    major, minor, prefix = fields[12:15]
    if number(said) != sum(block) - sum(block[_CHECKSUM]) + sum(_SPACES):
        raise broken("a header's checksum is wrong")
    name = text(name)
    # GNU keeps other things where POSIX has the prefix.
    if magic == _POSIX and prefix[0]:
        name = f"{text(prefix)}/{name}"
    flag = flag.decode("latin-1")
    return Member(
        name,
        flag,
        number(mode) & 0o7777,
        number(uid),
        number(gid),
        number(size),
        number(mtime) * 10**9,
        text(link),
        _device(number(major), number(minor)) if flag in "34" else 0,
    )


def known_kind(member: Member) -> Kind:
    """Return what a member is, once its whole name is known.

    Raises: DocumentError for a typeflag that nobody has given a meaning.
    """
    if member.kind == _BEFORE_1988:
        return Kind.DIRECTORY if member.name.endswith("/") else Kind.FILE
    if member.kind in ("7", "S"):  # in one piece, or sparse: both are files
        return Kind.FILE
    if member.kind not in list(Kind):
        raise broken(f'"{member.name}": unknown typeflag "{member.kind}"')
    return Kind(member.kind)


def header(member: Member) -> bytes:
    """Write a header; what doesn't fit into it must stand in PAX records as well."""
    name, link = os.fsencode(member.name)[:100], os.fsencode(member.link)[:100]
    block = _HEADER.pack(
        name,
        *(_octal(n, 8) for n in (member.mode, member.uid, member.gid)),
        _octal(member.size, 12),
        _octal(member.mtime_ns // 10**9, 12),
        _SPACES,
        member.kind.encode(),
        link,
        _POSIX,
        b"",
        b"",
        _octal(os.major(member.device), 8),
        _octal(os.minor(member.device), 8),
        b"",
    )
    checksum = b"%06o\0 " % sum(block)
    return block[: _CHECKSUM.start] + checksum + block[_CHECKSUM.stop :]


def fits(value: int, width: int) -> bool:
    """Say whether a number has a form in octal digits, in a field of this width."""
    return 0 <= value < 1 << 3 * (width - 1)


def number(data: bytes) -> int:
    """Read a number: octal digits, or binary when the first bit is set."""
    if data and data[0] & 0x80:
        # Two's complement; the first bit only says that this form is used.
        value = int.from_bytes(data, "big") & ((1 << (8 * len(data) - 1)) - 1)
        negative = data[0] & 0x40
        return value - (1 << (8 * len(data) - 1)) if negative else value
    digits = data.partition(b"\0")[0].strip()
    if not digits:
        return 0
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise broken("a number in a header is none")
    return int(digits, 8)


def text(data: bytes) -> str:
    """Read a text that ends with the field or with the first NUL."""
    return os.fsdecode(data.partition(b"\0")[0])


def broken(problem: str) -> DocumentError:
    """Return the error for an archive that can't be understood."""
    return DocumentError(
        one_line(f"layer: {problem}", 400),
        "get the image again; if it stays, its maker made a mistake",
        "tar(5)",
        meaning="this is no tar archive, or it is damaged",
    )


def _device(major: int, minor: int) -> int:
    # linux/kdev_t.h: 12 bits and 20 bits.
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise broken("a device's number is none")
    return os.makedev(major, minor)


def _octal(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value if fits(value, width) else 0)
