"""Fixtures of the kernel tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.host import Host
from labkit.linux.views import HostPath
from labkit.runtime.fork_server import ForkServer
from tests.kernel.bundles import Bundle, make_bundle, remove_places
from tests.support.skips import need


@pytest.fixture
def bundle(host: Host, as_root: None) -> Iterator[Bundle]:
    """A bundle with a small root; its cgroup, if a test asks for one, goes with it."""
    need("busybox", host.busybox, "there is no statically linked busybox")
    # Beside the run's own state: other users can pass through there, and must.
    place = os.path.dirname(os.environ["LABKIT_STATE"])
    with tempfile.TemporaryDirectory(prefix="bundle-", dir=place) as folder:
        Path(folder).chmod(0o755)
        made = make_bundle(Path(folder) / "bundle", host, str(host.busybox))
        yield made
        remove_places(made.places)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """A fork server, one for all tests of a module."""
    one = ForkServer.at(HostPath(str(tmp_path_factory.mktemp("server"))))
    yield one
    one.stop()
