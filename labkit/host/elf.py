"""Read from a program's file which loader it asks for. Chapters 01 and 02.

A program without a loader is static: it runs in a root that holds nothing else. One
with a loader fails there with ENOENT, although the program itself is in its place.

Left out: everything else in an ELF file; readelf(1) shows it.
"""

from __future__ import annotations

import os
import struct

from labkit.linux.views import HostPath

_PT_INTERP = 3  # elf.h: the segment that names the loader
_HEADER_BYTES = 64
# fmt: off
# elf.h, by class: where e_phoff is and how wide, where e_phentsize and e_phnum are,
# and in a program header p_offset and p_filesz.
_LAYOUTS = {
    1: (28, "I", 42, 4, 16, "I"),
    2: (32, "Q", 54, 8, 32, "Q"),
}
# fmt: on


def is_program(path: HostPath) -> bool:
    """Say whether a file is an ELF program that this user may execute."""
    if not (os.path.isfile(path) and os.access(path, os.X_OK | os.R_OK)):
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
        header = file.read(_HEADER_BYTES)
        if header[:4] != b"\x7fELF" or header[4:5] not in (b"\x01", b"\x02"):
            raise ValueError(f"{path} is no ELF program")
        order = "<" if header[5] == 1 else ">"
        phoff_at, word, phentsize_at, offset_at, filesz_at, word = _LAYOUTS[header[4]]
        (phoff,) = struct.unpack_from(order + word, header, phoff_at)
        size, count = struct.unpack_from(order + "HH", header, phentsize_at)
        file.seek(phoff)
        for segment in struct.iter_unpack(f"{size}s", file.read(size * count)):
            if struct.unpack_from(order + "I", segment[0])[0] != _PT_INTERP:
                continue
            (offset,) = struct.unpack_from(order + word, segment[0], offset_at)
            (length,) = struct.unpack_from(order + word, segment[0], filesz_at)
            file.seek(offset)
            return os.fsdecode(file.read(length).rstrip(b"\0"))
    return None


def is_static(path: HostPath) -> bool:
    """Say whether a file is a program that needs no other file to run."""
    return is_program(path) and loader(path) is None
