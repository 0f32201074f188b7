"""What holds for every test, and for chapters under nbval: see tests/support."""

from __future__ import annotations

import signal

pytest_plugins = [
    "tests.support.private_state",
    "tests.support.nothing_left",
    "tests.support.skips",
]


def pytest_configure() -> None:
    """Hear Ctrl+C: who starts the tests in a shell's background passes it on as ignored.

    A program inherits an ignored signal, and every interrupt that a test sends would
    be lost.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
