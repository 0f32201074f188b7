"""Python's byte code in the form that is loaded without a look at the source.

Ordinary byte code carries the time and the size of its source, and Python compares
them on each import. In the VM that costs seconds, and an image keeps no times. So the
header is replaced by one that says "unchecked"; the code itself stays as it is.

Spec: PEP 552, Deterministic pycs: magic, flags, then time and size or a hash.
"""

from __future__ import annotations

import importlib.util
import marshal
import struct
from pathlib import Path

_HEADER = 16
_UNCHECKED = 0b01  # bit 0: by hash; bit 1, not set: and the hash is checked


def unchecked(source: Path) -> bytes:
    """Return a source's byte code, unchecked.

    Args: source [a .py file; code that Python has cached for it is used if it fits].
    Raises: SyntaxError for a file that isn't Python.
    """
    text = source.read_bytes()
    code = _cached(source, len(text)) or marshal.dumps(
        compile(text, str(source), "exec", dont_inherit=True)
    )
    head = importlib.util.MAGIC_NUMBER + struct.pack("<I", _UNCHECKED)
    return head + importlib.util.source_hash(text) + code


def _cached(source: Path, size: int) -> bytes:
    try:
        data = Path(importlib.util.cache_from_source(source)).read_bytes()
    except OSError:
        return b""  # never imported here, or not ours to read
    expected = struct.pack("<III", 0, int(source.stat().st_mtime), size & 0xFFFFFFFF)
    fits = data[:_HEADER] == importlib.util.MAGIC_NUMBER + expected
    return data[_HEADER:] if fits else b""
