"""A disk that gets full in the middle of a pull, and of a push."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from labkit.errors import HostError, RegistryError
from labkit.image import Digest
from labkit.registry.client.pull import pull
from labkit.registry.client.push import push
from tests.support.registries import (
    IN_A_HURRY,
    name_of,
    put_image,
    registry,
    store_in,
)
from tests.support.skips import need

pytestmark = pytest.mark.usefixtures("as_root", "loopback", "host_directory")
INSIDE = {"small", "registry", "here", "there"}
LAYER = os.urandom(3 << 20)


@pytest.fixture(scope="module")
def loopback() -> None:
    """Only where 127.0.0.1 is up."""
    server, client = socket.create_server(("127.0.0.1", 0)), socket.socket()
    with closing(server), closing(client):
        up = client.connect_ex(server.getsockname()) == 0
    need("loopback", up, "the link lo is down here")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A directory on a disk of two mebibytes."""
    place = tmp_path / "small"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=2m", "none", str(place))
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def enlarge(place: Path) -> None:
    """Make the disk large enough."""
    mount("-o", "remount,size=64m", str(place))


def mount(*words: str) -> None:
    need("mount", shutil.which("mount"), "mount isn't installed")
    subprocess.run(["mount", *words], check=True)


def test_a_pull_that_fills_the_disk_says_so_and_goes_on_later(
    tmp_path: Path, small: Path
) -> None:
    with registry(tmp_path / "registry") as server:
        here, there = store_in(tmp_path / "here"), store_in(small)
        image = put_image(here, name_of(server), (LAYER,))
        push(name_of(server), here, IN_A_HURRY)
        with pytest.raises(HostError, match="ENOSPC") as full:
            pull(name_of(server), there, terms=IN_A_HURRY)
        assert "the filesystem is full" in str(full.value)
        assert not there.references()
        enlarge(small)
        assert pull(name_of(server), there, terms=IN_A_HURRY).digest == image.digest
        assert Digest.of(Path(there.path(Digest.of(LAYER))).read_bytes())


def test_a_push_that_fills_the_registrys_disk_says_so_and_works_later(
    tmp_path: Path, small: Path
) -> None:
    with registry(small) as server:
        here = store_in(tmp_path / "here")
        put_image(here, name_of(server), (LAYER,))
        with pytest.raises(RegistryError, match="507") as full:
            push(name_of(server), here, IN_A_HURRY)
        assert "the registry's disk is full" in str(full.value)
        assert not list((small / "repositories/app/_uploads").iterdir())
        enlarge(small)
        push(name_of(server), here, IN_A_HURRY)
        there = store_in(tmp_path / "there")
        pull(name_of(server), there, terms=IN_A_HURRY)
        assert there.has(Digest.of(LAYER))
