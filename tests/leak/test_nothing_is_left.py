"""After all tests this machine is as it was before them."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.nothing_left import left_since
from tests.support.ours import ours

# `make test` writes down what there was before the first test, and says where.
BEFORE = os.environ.get("LABKIT_HOST_BEFORE")


def test_linux_knows_nothing_of_ours() -> None:
    """No mount, cgroup, process, link or directory that wasn't there before."""
    before = Path(BEFORE).read_text().splitlines() if BEFORE else existing()
    this_run = f"directory {Path(os.environ['LABKIT_STATE']).parent}"
    assert left_since(frozenset([*before, this_run])) == frozenset()


def existing() -> list[str]:
    """Return the directories, when these tests run alone: a learner's state is one."""
    return [line for line in ours() if line.startswith("directory")]
