"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labkit.host import Host, probe
from tests.support.host_beside import host_directory
from tests.support.skips import need

__all__ = ["host_directory"]


@pytest.fixture(scope="session")
def host() -> Host:
    """This machine, probed once."""
    return probe()


@pytest.fixture(scope="session")
def as_root(host: Host) -> None:
    """Only for root: some things Linux lets no one else do."""
    need("root", host.privilege.root, "these tests run as an ordinary user")


@pytest.fixture(scope="session")
def chromium() -> Path:
    """A real browser: the distribution's Chromium, or the one LABKIT_CHROMIUM names."""
    path = Path(os.environ.get("LABKIT_CHROMIUM", "/usr/bin/chromium"))
    need("chromium", path.exists(), f"there is no browser at {path}")
    return path
