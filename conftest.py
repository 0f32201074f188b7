"""What holds for every test, and for chapters under nbval: see tests/support."""

from __future__ import annotations

pytest_plugins = [
    "tests.support.private_state",
    "tests.support.nothing_left",
    "tests.support.skips",
]
