"""Ctrl-C at a moment when it does no harm.

Jupyter's "interrupt" raises KeyboardInterrupt between any two bytecodes: after a
message was read and before anybody has noted it, say. So waiting may be interrupted,
but what follows it may not.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put a Ctrl-C off until the block is left. For short blocks that don't wait."""
    # Python runs signal handlers in the main thread only.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda *arguments: came.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
        if came and callable(before):
            before(*came[0])
