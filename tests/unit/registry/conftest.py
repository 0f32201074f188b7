"""Tests of registries keep their files in memory.

Each push waits for the disk several times, which is what a push is for, and not what
these tests are about.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.registries import MEMORY


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory of one test, in memory where that is possible."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)
