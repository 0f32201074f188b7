"""Tests of registries keep their files in memory.

Each push waits for the disk several times, which is what a push is for, and not what
these tests are about.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.image import Store
from tests.support.registries import MEMORY, store_in


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory of one test, in memory where that is possible."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture
def here(tmp_path: Path) -> Store:
    """The store that pushes."""
    return store_in(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Store:
    """The store that pulls."""
    return store_in(tmp_path / "there")
