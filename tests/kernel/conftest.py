"""Fixtures of the kernel tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.host import Host
from tests.kernel.bundles import Bundle, make_bundle, remove_places
from tests.support.skips import need


@pytest.fixture
def bundle(tmp_path: Path, host: Host, as_root: None) -> Iterator[Bundle]:
    """A bundle with a small root; its cgroup, if a test asks for one, goes with it."""
    need("busybox", host.busybox, "there is no statically linked busybox")
    tmp_path.chmod(0o755)
    made = make_bundle(tmp_path / "bundle", host, str(host.busybox))
    yield made
    remove_places(made.places)
