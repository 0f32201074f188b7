"""Writing a tar archive: headers, and PAX records where they don't suffice. Chapter 11.

Reading order: TarWriter.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO

from labkit.layers.tar_member import BLOCK, Member, header
from labkit.layers.tar_records import write_records

_CHUNK = 1 << 20


class TarWriter:
    """An archive, member after member.

    Args: write [takes the archive's bytes].
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def add(self, member: Member, content: BinaryIO | None = None) -> None:
        """Write a member, and the bytes of a file.

        Args: member [so many bytes as its size says are written, even if the file grows
            or shrinks meanwhile, as one of a running container may]; content [None: a
            member without bytes].
        Raises: OSError when the content can't be read.
        """
        self._header(member)
        left = member.size if content else 0
        while left and content and (data := content.read(min(left, _CHUNK))):
            self._write(data)
            left -= len(data)
        while left:  # it has become shorter
            self._write(bytes(min(left, _CHUNK)))
            left -= min(left, _CHUNK)
        self._write(bytes(-member.size % BLOCK))

    def end(self) -> None:
        """Write the end: two empty blocks."""
        self._write(bytes(2 * BLOCK))

    def _header(self, member: Member) -> None:
        if records := write_records(member):
            # A reader that doesn't know PAX makes a file of it: so it has a name.
            name = f"PaxHeaders/{os.path.basename(member.name.rstrip('/'))[:80]}"
            self._write(header(Member(name, "x", size=len(records))))
            self._write(records + bytes(-len(records) % BLOCK))
        self._write(header(member))
