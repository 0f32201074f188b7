"""Gaps: free places between Python's objects, filled before a process is copied.

    pool       16 KiB for objects of one size:  [used|    |used|used|    |used| ...]
    filled                                      [used|held|used|used|held|used| ...]

A fork copies nothing; a page (4 KiB) is copied when one of the two writes into it. What
a child makes, Python puts into the gaps that are left from imports: each in another
page, which the child has for itself from then on. When there are no gaps, all of it
goes side by side into fresh pools.

Source: CPython, Objects/obmalloc.c. Chapter 09.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import CodeType, FrameType, FunctionType

_POOL, _HEADER = 16 * 1024, 48  # bytes; an object behind the header is the pool's first
_STEP, _LARGEST = 16, 512  # bytes: a pool's objects have one of these 32 sizes
_MOST = 20_000  # objects of one size; another allocator (PYTHONMALLOC) has no pools
_BYTES = b"".__sizeof__()  # of an empty one: the rest is what it holds


def fill_gaps() -> object:
    """Fill them; they stay filled as long as the caller has what is returned."""
    gc.collect()  # also the lists in which Python keeps freed objects
    held: object = None
    for size in range(_STEP, _LARGEST + 1, _STEP):
        make = _maker(size)
        for _ in range(_MOST):
            one = make()
            if id(one) % _POOL == _HEADER:
                break  # a fresh pool: there was no gap left
            held = held, one
    return held


def put_side_by_side(run: Callable[[], None]) -> None:
    """Copy the code of all functions that a run calls: one behind the other.

    Python counts in each function's code who uses it, so running it writes into its
    page. Where the gaps have been filled, the copies lie in few pages.
    """
    ran: dict[CodeType, None] = {}

    def note(frame: FrameType, event: str, argument: object) -> None:
        ran.setdefault(frame.f_code)

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    functions = [one for one in gc.get_objects() if isinstance(one, FunctionType)]
    of_code = {function.__code__: function for function in functions}
    for code in ran:
        if code in of_code:
            of_code[code].__code__ = code.replace()


def _maker(size: int) -> Callable[[], object]:
    # Objects that Python keeps no list of, and that its collector doesn't look at.
    if size == object.__sizeof__(object()):
        return object
    if size < _BYTES:
        return lambda: complex(0, 1)
    return lambda: bytes(size - _BYTES)
