"""Read from a program's file what is looked for at its start. Chapters 01 and 02.

    loader(path)    PT_INTERP: the program that Linux starts instead, and that loads it
    needed(path)    DT_NEEDED: the names of the libraries that the loader then wants

A program without a loader is static: it runs in a root that holds nothing else. One
with a loader fails there with ENOENT, although the program itself is in its place.

Left out: everything else in an ELF file; readelf(1) shows it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from labkit.linux.views import HostPath

# elf.h: segments, and entries of the dynamic section
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB = 1, 5
_HEADER_BYTES = 64
# fmt: off
# elf.h, by the width of a word: where e_phoff is, where e_phentsize and e_phnum are,
# and in a program header p_offset, p_vaddr and p_filesz.
_LAYOUTS = {
    "I": (28, 42, 4,  8, 16),
    "Q": (32, 54, 8, 16, 32),
}
# fmt: on


class _Segment(NamedTuple):
    kind: int
    offset: int
    address: int
    size: int


def is_program(path: HostPath) -> bool:
    """Say whether a file is an ELF program that this user may execute."""
    return os.access(path, os.X_OK) and is_elf(path)


def is_elf(path: HostPath) -> bool:
    """Say whether a file is an ELF program or library."""
    if not (os.path.isfile(path) and os.access(path, os.R_OK)):
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def loader(path: HostPath) -> str | None:
    """Return the loader that a program asks for, or None when it is static.

    Args: path [host path of an ELF program].
    Returns: the path that the kernel will look up in the process's own root.
    Raises: OSError when the file can't be read; ValueError when it is no ELF program.
    Needs: nothing.
    Kernel: elf(5), PT_INTERP; execve(2), ENOENT.
    """
    with open(path, "rb") as file:
        for segment in _segments(file, path):
            if segment.kind == _PT_INTERP:
                return os.fsdecode(_content(file, segment).rstrip(b"\0"))
    return None


def needed(path: HostPath) -> tuple[str, ...]:
    """Return the libraries that a program or library names: libc.so.6.

    Args: path [host path of an ELF file].
    Returns: file names, to be looked for where ld.so(8) says.
    Raises: OSError when the file can't be read; ValueError when it is no ELF file.
    Needs: nothing.
    Kernel: elf(5), DT_NEEDED; ld.so(8).
    """
    with open(path, "rb") as file:
        segments = list(_segments(file, path))
        dynamic = next((one for one in segments if one.kind == _PT_DYNAMIC), None)
        if dynamic is None:
            return ()
        order, word, _ = _layout(file, path)
        entries = list(struct.iter_unpack(order + 2 * word, _content(file, dynamic)))
        names = next((value for tag, value in entries if tag == _DT_STRTAB), 0)
        places = [
            _offset(segments, names) + at for tag, at in entries if tag == _DT_NEEDED
        ]
        return tuple(_text(file, place) for place in places)


def is_static(path: HostPath) -> bool:
    """Say whether a file is a program that needs no other file to run."""
    return is_program(path) and loader(path) is None


def _layout(file: BinaryIO, path: str) -> tuple[str, str, bytes]:
    # Byte order, the letter of a word's width, and the header.
    file.seek(0)
    header = file.read(_HEADER_BYTES)
    if header[:4] != b"\x7fELF" or header[4:5] not in (b"\x01", b"\x02"):
        raise ValueError(f"{path} is no ELF program")
    return "<" if header[5] == 1 else ">", "I" if header[4] == 1 else "Q", header


def _segments(file: BinaryIO, path: str) -> Iterator[_Segment]:
    order, word, header = _layout(file, path)
    phoff_at, sizes_at, *fields = _LAYOUTS[word]
    (phoff,) = struct.unpack_from(order + word, header, phoff_at)
    size, count = struct.unpack_from(order + "HH", header, sizes_at)
    file.seek(phoff)
    for (raw,) in struct.iter_unpack(f"{size}s", file.read(size * count)):
        (kind,) = struct.unpack_from(order + "I", raw)
        yield _Segment(
            kind, *(struct.unpack_from(order + word, raw, at)[0] for at in fields)
        )


def _content(file: BinaryIO, segment: _Segment) -> bytes:
    file.seek(segment.offset)
    return file.read(segment.size)


def _offset(segments: list[_Segment], address: int) -> int:
    # The dynamic section has addresses in memory; a loaded segment says where in the
    # file that is.
    for one in segments:
        if one.kind == _PT_LOAD and one.address <= address < one.address + one.size:
            return address - one.address + one.offset
    raise ValueError(f"no segment holds the address {address:#x}")


def _text(file: BinaryIO, place: int) -> str:
    file.seek(place)
    # PATH_MAX is 4096: no library has a longer name.
    return os.fsdecode(file.read(4096).partition(b"\0")[0])
