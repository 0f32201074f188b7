"""Calls that are newer than the filter. Chapter "Privileges".

A list of system calls names what its author knew. A program that tries a newer call
goes on with an older one when it hears ENOSYS; EPERM it takes for an answer. So before
the filter stands, for each architecture:

    ld    architecture
    jne   x86_64, next
    ld    number
    jgt   the filter's last, else next
    ret   ERRNO ENOSYS
  next:   ...

The same idea as runc's. Left out: numbers that Linux handed out later but that are
smaller than the filter's last one.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from typing import NamedTuple

# linux/audit.h; seccomp.h of libseccomp: x32 has no number of its own there.
_X86_64, _X32 = 0xC000003E, 0x4000003E
_X32_BIT = 1 << 30  # set in the numbers of x32's calls

# linux/bpf_common.h, and struct seccomp_data: the number, then the architecture.
_LOAD, _IF_EQUAL, _IF_ABOVE, _IF_BITS, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE = 0, 4
_ENOSYS = 0x00050000 | errno.ENOSYS  # SECCOMP_RET_ERRNO


class Last(NamedTuple):
    """The last call of an architecture that a filter names."""

    architecture: int  # libseccomp's token
    number: int


def newer_calls(known: Iterable[Last]) -> bytes:
    """Return the instructions that answer ENOSYS to calls after the last ones."""
    return b"".join(map(_section, known))


def _section(last: Last) -> bytes:
    if last.architecture == _X32:
        tests = [_row(_IF_BITS, _X32_BIT, 0, 2)]
    elif last.architecture == _X86_64:
        tests = [_row(_IF_BITS, _X32_BIT, 2, 0)]
    else:
        tests = []
    asked = _X86_64 if last.architecture == _X32 else last.architecture
    inner = (
        _row(_LOAD, _NUMBER),
        *tests,
        _row(_IF_ABOVE, last.number, 0, 1),
        _row(_RETURN, _ENOSYS),
    )
    skip = _row(_IF_EQUAL, asked, 0, len(inner))
    return b"".join((_row(_LOAD, _ARCHITECTURE), skip, *inner))


def _row(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    # struct sock_filter: the two say how many instructions are skipped.
    return struct.pack("<HBBI", code, then, otherwise, value)
