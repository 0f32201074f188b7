"""How much: sizes, CPUs and counts, as a learner writes them. Chapter 03.

    bytes_of("256M")       268435456
    size_text(268435456)   "256 MiB"
    cpus_of(0.5)           0.5
    count_of(32, 0, 4096)  32

What can't be understood is a DocumentError before anything was written.
"""

from __future__ import annotations

import re
from typing import TypeGuard

from labkit.errors import DocumentError

LEAST_CPUS = 0.01  # 1 ms in 100: kernel/sched/core.c, min_cfs_quota_period
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def bytes_of(size: object) -> int:
    """Return a size in bytes; K, M, G and T are powers of 1024, as Linux counts.

    Args: size [bytes, or a text like "256M", "256 MiB", "1.5G"].
    Returns: bytes.
    Raises: DocumentError for anything else, and below zero.
    """
    if _is_whole(size) and size >= 0:
        return size
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if found is None:
        raise DocumentError(
            f"{size!r} is no size",
            'give "256M", 256 * 1024**2, or None for no limit',
            meaning="a size is a whole number of bytes, or a number with K, M, G or T",
        )
    return int(float(found[1]) * 1024 ** _POWERS[found[2].upper()])


def size_text(count: int) -> str:
    """Return a size for people: 268435456 is "256 MiB"."""
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if count >= 1024**power:
            return f"{count / 1024**power:.4g} {unit}"
    return f"{count} bytes"


def cpus_of(cpus: object) -> float:
    """Return how many CPUs a limit is worth: 0.5 is half of one's time.

    Args: cpus [number of CPUs].
    Returns: the same as a float.
    Raises: DocumentError for anything that is no number, or less than Linux can give.
    """
    if _is_number(cpus) and cpus >= LEAST_CPUS:
        return float(cpus)
    raise DocumentError(
        f"{cpus!r} is no number of CPUs",
        "give 0.5 for half a CPU, 2 for two, or None for no limit",
        meaning=f"it is a number, and {LEAST_CPUS} is the least that Linux takes",
    )


def count_of(count: object, least: int, most: int) -> int:
    """Return a whole number in a range.

    Raises: DocumentError when it isn't one.
    """
    if _is_whole(count) and least <= count <= most:
        return count
    raise DocumentError(
        f"{count!r} is no whole number from {least} to {most}",
        "give one of those, or None for no limit",
        meaning="processes and weights are counted in whole numbers",
    )


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
