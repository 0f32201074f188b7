"""A directory that plays the host, beside what a test's bad input may change.

It is the working directory and HOME while the test runs: so a name that leads out is
seen, whether by dots, by a link, from where the program stands, or from home. A module
that uses it says in INSIDE which names of `tmp_path` its tests may make.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.listing import differences, listing


@pytest.fixture
def host_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Path]:
    """Beside what the test may change, and exactly the same afterwards."""
    host = tmp_path / "host"
    (host / "below").mkdir(parents=True)
    (host / "secret").write_text("secret")
    os.utime(host / "secret", ns=(1, 1))
    monkeypatch.chdir(host)
    monkeypatch.setenv("HOME", str(host))
    before = listing(host)
    yield host
    assert differences(listing(host), before) == {}
    made = {path.name for path in tmp_path.iterdir()}
    assert made - request.module.INSIDE == {"host"}
