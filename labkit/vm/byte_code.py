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
import sys
from pathlib import Path

HEADER = 16
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
    fits = data[:HEADER] == importlib.util.MAGIC_NUMBER + expected
    return data[HEADER:] if fits else b""


def in_the_cache(source: Path) -> bytes:
    """Return the code that lies beside a source, b"" when there is none.

    Args: source [a .py file; what is beside it is taken as it is].
    """
    cache = source.parent / "__pycache__"
    name = f"{source.stem}.{sys.implementation.cache_tag}.pyc"
    try:
        return (cache / name).read_bytes()[HEADER:]
    except FileNotFoundError:
        return b""
