"""A disk that gets full in the middle of a pull, and of a push."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from labkit.errors import HostError, RegistryError
from labkit.image import Digest, Reference
from labkit.image.archives import load, save
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
KEPT, NAME = Reference.parse("kept"), Reference.parse("named")


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


def test_a_saved_image_that_fills_the_disk_is_not_loaded(
    tmp_path: Path, small: Path
) -> None:
    here, there = store_in(tmp_path / "here"), store_in(small)
    put_image(here, NAME, (LAYER,))
    saved = io.BytesIO()
    save(here, [NAME], saved.write)
    kept = put_image(there, KEPT)
    with pytest.raises(HostError, match="ENOSPC"):
        load(there, io.BufferedReader(io.BytesIO(saved.getvalue())))
    assert list(there.references().values()) == [there.resolve(KEPT)]
    assert os.listdir(small / "ingest") == []
    assert there.read(kept)
    enlarge(small)
    load(there, io.BufferedReader(io.BytesIO(saved.getvalue())))
    assert there.has(Digest.of(LAYER))


def test_a_name_that_has_no_room_on_the_disk_changes_no_other(small: Path) -> None:
    there = store_in(small)
    put_image(there, KEPT)
    fill(small / "full")
    with pytest.raises(HostError, match="ENOSPC"):
        there.tag(NAME, there.resolve(KEPT))
    assert list(there.references()) == [KEPT]
    (small / "full").unlink()
    there.tag(NAME, there.resolve(KEPT))
    assert list(there.references()) == [KEPT, NAME]


def fill(path: Path) -> None:
    """Write until there is no room for another page."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


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
