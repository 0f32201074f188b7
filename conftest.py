"""What holds for every test, and for chapters under nbval: see tests/support."""

from __future__ import annotations

import signal

pytest_plugins = [
    "tests.support.private_state",
    "tests.support.nothing_left",
    "tests.support.skips",
]


def pytest_configure() -> None:
    """Hear Ctrl+C, even when a shell started the tests in its background.

    Such a shell passes it on as ignored, and every interrupt that a test sends would
    be lost.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
