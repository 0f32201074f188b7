"""Fixtures of the kernel tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit.host import Host
from labkit.linux.views import HostPath
from labkit.runtime.fork_server import ForkServer
from tests.kernel.bundles import Bundle, new_bundle


@pytest.fixture
def bundle(host: Host, as_root: None) -> Iterator[Bundle]:
    """A bundle with a small root; its cgroup, if a test asks for one, goes with it."""
    with new_bundle(host) as made:
        yield made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """A fork server, one for all tests of a module."""
    one = ForkServer.at(HostPath(str(tmp_path_factory.mktemp("server"))))
    yield one
    one.stop()
