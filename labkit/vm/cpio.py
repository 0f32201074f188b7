"""Write an archive that Linux unpacks as its first file system: newc cpio.

Each entry is a header of fourteen eight-digit hexadecimal numbers, its name and its
content, both padded to four bytes. No tool and no privilege is needed, devices
included: a device in an archive is only a pair of numbers.

Spec: Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_MAGIC = b"070701"
_LAST = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Member:
    """One entry: its name without a leading slash, type and mode, content, device."""

    name: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def directory(name: str) -> Member:
    """Return a directory."""
    return Member(name, stat.S_IFDIR | 0o755)


def file(name: str, content: bytes, mode: int = 0o644) -> Member:
    """Return a regular file."""
    return Member(name, stat.S_IFREG | mode, content)


def device(name: str, major: int, minor: int) -> Member:
    """Return a character device."""
    return Member(name, stat.S_IFCHR | 0o600, device=(major, minor))


def symbolic_link(name: str, target: str) -> Member:
    """Return a symbolic link."""
    return Member(name, stat.S_IFLNK | 0o777, target.encode())


def tree(root: Path) -> Iterator[Member]:
    """Yield the directories, files and symbolic links below a directory.

    Args: root [host path]. What has two names becomes two files.
    """
    for path in sorted(root.rglob("*")):
        name, about = str(path.relative_to(root)), path.lstat()
        if path.is_symlink():
            yield symbolic_link(name, os.readlink(path))
        elif path.is_dir():
            yield directory(name)
        elif path.is_file():
            yield file(name, path.read_bytes(), stat.S_IMODE(about.st_mode))


def archive(members: Iterable[Member]) -> bytes:
    """Return the archive: parents must come before what is in them."""
    parts = [_entry(number, member) for number, member in enumerate(members, 1)]
    return b"".join([*parts, _entry(0, Member(_LAST, 0))])


def _entry(inode: int, member: Member) -> bytes:
    name = member.name.encode() + b"\0"
    uid = gid = mtime = checksum = 0
    numbers = (
        inode, member.mode, uid, gid, 1, mtime, len(member.content),
        0, 0, *member.device, len(name), checksum,
    )  # fmt: skip
    header = _MAGIC + b"".join(b"%08X" % number for number in numbers)
    return _padded(header + name) + _padded(member.content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
