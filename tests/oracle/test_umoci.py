"""umoci and podman see the same trees in the same images.

What an archive doesn't say is left out of the comparison: the time of a directory that
no layer names is the moment at which it was made.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.image import Image, Reference, Store
from labkit.image.archives import save
from labkit.image.new_layer import put_layer
from labkit.layers.apply import apply_layer
from labkit.layers.below import Below
from labkit.layers.pack import changed_in_upper
from labkit.linux import CLONE
from labkit.linux.views import HostPath
from labkit.plan import Plan
from labkit.primitives.mounts import MakePrivate
from labkit.primitives.namespaces import Unshare
from labkit.primitives.overlay import Overlay
from tests.support.archives import HARD, T
from tests.support.layouts import put_documents, put_image
from tests.support.listing import Listing, differences, listing
from tests.support.skips import need

pytestmark = pytest.mark.usefixtures("as_root")

MARKS = "trusted.overlay."
# What a container does to the files of HARD["plain"].
CHANGES = """
echo changed >> etc/passwd; rm etc/motd; rm -rf var/lib/old
mkdir var/lib/old && echo 3 > var/lib/old/three
mkdir -p new/a/b && echo x > new/a/b/x && ln new/a/b/x new/a/y && ln -s y new/a/z
chmod 4711 usr/lib/libc.so; chown 12:34 usr/lib/libc.so; mknod new/null c 1 3
mkfifo new/pipe; rm lib; mkdir lib; echo m > lib/mine; touch 'new/a b'
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(HostPath(str(tmp_path / "store")))


def tree_by_lab(store: Store, name: str, place: Path) -> Listing:
    place.mkdir()
    for layer in Image.find(store, name).layers:
        apply_layer(store.open(layer.descriptor), HostPath(str(place)))
    return said(place)


def tree_by_umoci(store: Store, name: str, place: Path) -> Listing:
    need("umoci", shutil.which("umoci"), "it isn't installed")
    # umoci takes tags only: in a copy of the layout the image is called so.
    layout = place.with_suffix(".layout")
    shutil.copytree(store.root, layout)
    (layout / "index.json").write_text(
        Path(store.root, "index.json")
        .read_text()
        .replace(f"docker.io/library/{name}:latest", "it")
    )
    answer("umoci", "unpack", "--image", f"{layout}:it", str(place))
    return said(place / "rootfs")


def said(place: Path) -> Listing:
    """What the archives say: without times of directories that they don't name."""
    recent = (T + 10**8) * 10**9
    found = listing(place)
    for path, about in found.items():
        is_directory = str(about[0]).startswith("d")
        moment = about[2]
        assert isinstance(moment, int)
        if is_directory and (moment == 0 or recent < moment < 2 * recent):
            found[path] = (*about[:2], None, *about[3:])
    return found


def answer(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", HARD)
def test_umoci_unpacks_the_same_tree(name: str, store: Store, tmp_path: Path) -> None:
    put_image(store, name, HARD[name])
    ours = tree_by_lab(store, name, tmp_path / "ours")
    theirs = tree_by_umoci(store, name, tmp_path / "theirs")
    assert len(ours) > 1 or name == "empty"
    assert differences(ours, theirs) == {}


@pytest.fixture
def changed(store: Store, tmp_path: Path) -> Iterator[Overlay]:
    """An overlay over HARD["plain"], in which a shell has changed files."""
    put_image(store, "plain", HARD["plain"])
    tree_by_lab(store, "plain", tmp_path / "plain")
    with Overlay.create("changed", [tmp_path / "plain"]) as box:
        steps = (Unshare(CLONE.NEWNS), MakePrivate("/"), box.mount())
        with Plan(*steps).fork() as child:
            child.run()
            child.exec(["/bin/sh", "-ec", f"cd {box.merged}; {CHANGES}"])
        yield box


def image_of_changes(store: Store, box: Overlay) -> None:
    base = Image.find(store, "plain")
    below = Below(box.lowerdirs, box.marks)
    layer = put_layer(store, changed_in_upper(box.upperdir, below))
    layers = (*base.manifest.layers, layer.descriptor)
    put_documents(store, "made", layers, (*base.config.diff_ids, layer.diff_id))


def test_umoci_applies_the_layer_of_a_container_to_the_same_tree(
    changed: Overlay, store: Store, tmp_path: Path
) -> None:
    image_of_changes(store, changed)
    ours = tree_by_lab(store, "made", tmp_path / "ours")
    assert "etc/motd" not in ours
    assert [path for path in ours if path.startswith("var/lib/old/")] == [
        "var/lib/old/three"
    ]
    assert ours["new/a/y"][3] == 2
    assert differences(ours, tree_by_umoci(store, "made", tmp_path / "theirs")) == {}


def test_the_layer_of_a_container_is_what_the_container_saw(
    changed: Overlay, store: Store, tmp_path: Path
) -> None:
    image_of_changes(store, changed)
    ours = tree_by_lab(store, "made", tmp_path / "ours")
    seen = {entry.path.lstrip("/") for entry in changed.tree() if entry.visible}
    assert seen == ours.keys() - {"."}


def test_podman_applies_the_layer_of_a_container_to_the_same_tree(
    changed: Overlay, store: Store, tmp_path: Path
) -> None:
    need("podman", shutil.which("podman"), "it isn't installed")
    image_of_changes(store, changed)
    saved = tmp_path / "made.tar"
    with saved.open("wb") as file:
        save(store, [Reference.parse("made")], file.write)
    # podman takes a short path only for what it keeps while it runs.
    with tempfile.TemporaryDirectory(prefix="labkit-", dir="/tmp") as run:
        podman = ["podman", "--root", f"{tmp_path}/podman", "--runroot", run]
        podman += ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]
        answer(*podman, "load", "-i", str(saved))
        try:
            place = answer(*podman, "image", "mount", "docker.io/library/made")
            theirs = said(Path(place.strip()))
        finally:
            answer(*podman, "image", "unmount", "--all")
    ours = tree_by_lab(store, "made", tmp_path / "ours")
    # podman leaves the root at the time of its last change.
    assert differences(ours, theirs).keys() <= {"."}


def test_skopeo_reads_the_store_and_a_saved_image(store: Store, tmp_path: Path) -> None:
    need("skopeo", shutil.which("skopeo"), "it isn't installed")
    descriptor = put_image(store, "it", HARD["whiteout"])
    saved = tmp_path / "it.tar"
    with saved.open("wb") as file:
        save(store, [Reference.parse("it")], file.write)
    name = f"oci:{store.root}:docker.io/library/it:latest"
    for source in (name, f"oci-archive:{saved}", f"docker-archive:{saved}"):
        raw = answer("skopeo", "inspect", "--raw", source)
        layers = [layer["digest"] for layer in json.loads(raw)["layers"]]
        image = Image.load(store, descriptor)
        packed = [str(layer.descriptor.digest) for layer in image.layers]
        plain = [str(layer.diff_id) for layer in image.layers]
        assert layers in (packed, plain)
