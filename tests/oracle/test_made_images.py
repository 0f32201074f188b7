"""The lab's own images out of packages: equal twice, and their programs really run."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import CLONE, Chdir, Chroot, Plan, Unshare
from labkit.errors import HostError
from labkit.host import Host
from labkit.image import Config, Manifest, Reference, Store, parse
from labkit.image.made import make
from labkit.linux.views import HostPath
from tests.support.skips import need

NAMES = ("nginx", "nginx:1.13")

# A busy machine compiles Python's library slowly.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def stores(
    tmp_path_factory: pytest.TempPathFactory, host: Host
) -> Iterator[tuple[Store, Store]]:
    """Two stores, each with its images made from the beginning."""
    apt = host.tool("apt-get") and host.tool("dpkg-deb")
    need("apt", apt, "this distribution has no apt-get")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_STATE", str(tmp_path_factory.mktemp("state")))
        paths = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
        both = [Store(HostPath(str(path))) for path in paths]
        try:
            for store in both:
                list(make(NAMES, store, lambda line: None))
        except HostError as error:
            need("mirror", False, f"the distribution's mirror: {error.meaning}")
        yield both[0], both[1]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_packages_make_the_same_digest(
    stores: tuple[Store, Store], name: str
) -> None:
    digests = {store.resolve(Reference.parse(name)).digest for store in stores}
    assert len(digests) == 1


def test_the_two_tags_mean_two_images_that_share_all_layers_but_one(
    stores: tuple[Store, Store],
) -> None:
    newest, older = (manifest(stores[0], name).layers for name in NAMES)
    assert newest[:-1] == older[:-1]
    assert newest[-1] != older[-1]


@pytest.mark.usefixtures("as_root")
def test_nginx_tests_its_configuration_inside(
    stores: tuple[Store, Store], tmp_path: Path
) -> None:
    root = unpacked(stores[0], "nginx", tmp_path / "root")
    with Plan(Unshare(CLONE.NEWNS), Chroot(str(root)), Chdir("/")).fork() as child:
        child.run()
        said = child.exec(["/usr/sbin/nginx", "-t"])
    assert (said.exit.code, said.stderr.splitlines()[-1]) == (
        0,
        "nginx: configuration file /etc/nginx/nginx.conf test is successful",
    )


@pytest.mark.usefixtures("as_root")
def test_python_starts_with_byte_code(
    stores: tuple[Store, Store], tmp_path: Path
) -> None:
    list(make(["python"], stores[0]))
    root = unpacked(stores[0], "python", tmp_path / "root")
    look = (
        "import http.server as s, os; print(s.__cached__, os.path.exists(s.__cached__))"
    )
    with Plan(Unshare(CLONE.NEWNS), Chroot(str(root)), Chdir("/")).fork() as child:
        child.run()
        said = child.exec(["/usr/bin/python", "-B", "-c", look])
    path, there = said.stdout.split()
    assert (path.startswith("/usr/lib/python3"), there) == (True, "True"), said


def manifest(store: Store, name: str) -> Manifest:
    found = parse(store.read(store.resolve(Reference.parse(name))))
    assert isinstance(found, Manifest)
    return found


def unpacked(store: Store, name: str, root: Path) -> Path:
    """Unpack an image by Python's own tarfile: the lab's images have no whiteouts."""
    found = manifest(store, name)
    assert Config.parse(store.read(found.config)).execution.cmd[0].startswith(name[:5])
    for layer in found.layers:
        with store.open(layer) as blob, tarfile.open(fileobj=blob, mode="r|gz") as tar:
            tar.extraction_filter = lambda member, path: member  # our own archive
            tar.extractall(root)
    (root / "dev/stdout").touch()
    (root / "dev/stderr").touch()
    return root
