"""After each test module nothing of ours remains on this machine.

A server that tests share belongs to a fixture of their module: what outlives its module
counts as left behind.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.ours import ours

PATIENCE_S = 3.0
BEFORE = pytest.StashKey[frozenset[str]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember what there is before the first test."""
    session.stash[BEFORE] = ours()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Iterator[None]:
    """Look again after the last test of a module, its fixtures undone."""
    yield
    if nextitem is not None and nextitem.path == item.path:
        return
    left = left_since(item.session.stash[BEFORE])
    if left:
        # Once is enough: the next module isn't blamed for it.
        item.session.stash[BEFORE] |= left
        pytest.fail("left on this host:\n  " + "\n  ".join(sorted(left)), pytrace=False)


def left_since(before: frozenset[str]) -> frozenset[str]:
    """Return what is new since `before`; processes that are ending get time to end."""
    deadline = time.monotonic() + PATIENCE_S
    while (left := ours() - before) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
