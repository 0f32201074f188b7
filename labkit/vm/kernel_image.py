"""Unpack the Linux kernel out of its boot file, so that it needn't unpack itself.

A distribution's vmlinuz is a small program followed by the compressed kernel. Under
emulation that program takes three seconds; here it takes a fraction, once.

Spec: Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length.
"""

from __future__ import annotations

import lzma
import struct
import subprocess
from pathlib import Path

from labkit.errors import HostError

_SETUP_SECTORS = 0x1F1
_PAYLOAD = 0x248  # payload_offset and payload_length, since protocol 2.08
_ELF = b"\x7fELF"
_PROGRAMS = {
    b"\x28\xb5\x2f\xfd": ("zstd", "-dcq"),
    b"\x02\x21\x4c\x18": ("lz4", "-dcq"),
    b"\x1f\x8b": ("gzip", "-dcq"),
}


def unpack_kernel(vmlinuz: Path) -> bytes:
    """Return the kernel as the ELF file that QEMU can start.

    Raises: HostError when it is compressed in a way that nothing here can undo.
    """
    payload = _payload(vmlinuz.read_bytes())
    kernel = _decompressed(payload)
    if not kernel.startswith(_ELF):
        raise _not_understood(vmlinuz.name, "what is inside is no ELF file")
    return kernel


def _payload(image: bytes) -> bytes:
    sectors = image[_SETUP_SECTORS] or 4
    offset, length = struct.unpack_from("<II", image, _PAYLOAD)
    start = (sectors + 1) * 512 + offset
    return image[start : start + length]


def _decompressed(payload: bytes) -> bytes:
    if payload.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor().decompress(payload)
    for magic, program in _PROGRAMS.items():
        if payload.startswith(magic):
            return decompress(program, payload)
    raise _not_understood("the kernel", f"it begins with {payload[:6].hex()}")


def decompress(program: tuple[str, ...], data: bytes) -> bytes:
    """Pipe data through a program; what follows the compressed part is ignored.

    Raises: HostError when the program isn't there.
    """
    try:
        # The payload ends with four bytes of its own, at which programs complain
        # after they have written everything: so the exit code says nothing.
        done = subprocess.run(program, input=data, capture_output=True, check=False)
    except OSError as missing:
        raise _not_understood("the kernel", f"there is no {program[0]}") from missing
    return done.stdout


def _not_understood(name: str, meaning: str) -> HostError:
    return HostError(
        f"lab VM: {name} can't be unpacked",
        "sudo apt-get install zstd lz4, or name another kernel in LABKIT_VM_KERNEL",
        meaning=meaning,
    )
