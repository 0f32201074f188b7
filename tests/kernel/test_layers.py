"""Layers on a real file system: what they may do, and that nothing gets out of a root.

Each hostile archive is unpacked in both forms, beside a directory that plays the host.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labkit.errors import DocumentError, LabError, LimitReached
from labkit.image import DigestMismatch, Image, Store, Trees
from labkit.image.descriptor import Descriptor
from labkit.layers.apply import Applied, Limits, apply_layer
from labkit.layers.below import Below
from labkit.layers.pack import changed_between, write
from labkit.layers.whiteouts import InOverlay, Removed
from labkit.linux import MNT, MS, Linux
from labkit.linux.views import HostPath
from tests.kernel.ordinary_user import as_ordinary_user
from tests.support.archives import (
    CAPABILITY,
    HARD,
    TREE,
    Row,
    archive,
    device,
    entry,
    folder,
    hard,
    hole,
    link,
    xattrs,
)
from tests.support.layouts import put_documents, put_image
from tests.support.listing import differences, listing

pytestmark = pytest.mark.usefixtures("as_root")

MARKS = "trusted.overlay."
# Where tests of bad input may write, beside the directory that plays the host.
INSIDE = {"tree", "layer", "root", "store", "layers", "disk", "few"}
BESIDE_A_HOST = pytest.mark.usefixtures("host_directory")
# A hostile archive: what it holds, given the path of the directory that plays the host;
# and a word of the refusal, or "" for one that is unpacked, inside.
Hostile = tuple[Callable[[str], list[Row]], str]

HOSTILE: dict[str, Hostile] = {
    "dots": (lambda host: [entry("../host/new", "x")], "leads out"),
    "dots within": (lambda host: [entry("a/../../host/new", "x")], "leads out"),
    "dots at the end": (lambda host: [folder("a/..")], "leads out"),
    "an absolute name": (lambda host: [entry(f"{host}/new", "x")], ""),
    "a link up, then a file": (
        lambda host: [link("out", "../host"), entry("out/new", "x")],
        "",
    ),
    "an absolute link, then a file": (
        lambda host: [link("out", host), entry("out/secret", "x")],
        "",
    ),
    "a chain of links": (
        lambda host: [
            link("a", ".."),
            link("b", "a/host"),
            link("c", f"{host}/../host"),
            entry("b/new", "x"),
            entry("c/new", "x"),
        ],
        "",
    ),
    "links in a circle": (
        lambda host: [link("a", "b"), link("b", "a"), entry("a/x", "x")],
        "in a circle",
    ),
    "a directory that becomes a link": (
        lambda host: [
            folder("a"),
            entry("a/x", "x"),
            link("a", host),
            entry("a/secret", "changed"),
        ],
        "",
    ),
    "a file over a link": (
        lambda host: [link("x", f"{host}/secret"), entry("x", "changed")],
        "",
    ),
    "a directory over a link": (
        lambda host: [link("x", host), folder("x", mode=0o777, uid=7)],
        "",
    ),
    "a device over a link": (
        lambda host: [link("x", f"{host}/secret"), device("x", tarfile.CHRTYPE, 1, 3)],
        "",
    ),
    "a hard link up": (lambda host: [hard("x", "../host/secret")], "leads out"),
    "an absolute hard link": (
        lambda host: [hard("x", f"{host}/secret")],
        "isn't there",
    ),
    "a hard link through a link": (
        lambda host: [link("out", host), hard("x", "out/secret")],
        "isn't there",
    ),
    "a hard link to a link, then a file": (
        lambda host: [
            link("a", f"{host}/secret"),
            hard("b", "a"),
            entry("b", "changed"),
        ],
        "",
    ),
    "a hard link to a directory": (
        lambda host: [folder("a"), hard("b", "a")],
        "EPERM",
    ),
    "a whiteout above the root": (lambda host: [entry("../.wh.host")], "leads out"),
    "a whiteout of dots": (lambda host: [entry(".wh...")], "removes no name"),
    "a whiteout of the root": (lambda host: [entry(".wh..")], "removes no name"),
    "a whiteout of nothing": (lambda host: [entry(".wh.")], "removes no name"),
    "a whiteout through a link": (
        lambda host: [link("out", "../host"), entry("out/.wh.secret")],
        "",
    ),
    "an opaque link": (
        lambda host: [link("out", host), entry("out/.wh..wh..opq")],
        "",
    ),
    "a root that is a file": (lambda host: [entry("./", "x")], "root"),
    "a root that is a link": (lambda host: [link(".", host)], "root"),
    "a mark of an overlay": (
        lambda host: [
            folder("d", **xattrs(trusted__overlay__redirect="/../../host")),
            entry("f", "x", **xattrs(trusted__overlay__metacopy="y")),
        ],
        "",
    ),
    "a file in a file": (
        lambda host: [entry("a", "x"), entry("a/b", "x")],
        "is a file",
    ),
    "a name that is too long": (lambda host: [entry("n" * 300, "x")], "longer than"),
    "too many directories": (lambda host: [entry("d/" * 300 + "x", "x")], "deep"),
    "a setuid file and a device": (
        lambda host: [
            entry("su", "x", mode=0o6755),
            device("sda", tarfile.BLKTYPE, 8, 0, mode=0o666),
        ],
        "",
    ),
    "a link to too many directories": (
        lambda host: [link("l", "d/" * 400), entry("l/x", "x")],
        "deep",
    ),
    "deeper through links": (
        lambda host: [
            entry("d/" * 240 + "x", "x"),
            link("l", "d/" * 240),
            entry("l/" + "d/" * 240 + "x", "x"),
        ],
        "deep",
    ),
    "a hole without an end": (lambda host: [hole(2**63 - 1)], "longer than a file"),
    "a long attribute": (
        lambda host: [entry("x", "x", **xattrs(user__long="x" * 100_000))],
        "longer than Linux",
    ),
    "an attribute without a name": (
        lambda host: [entry("x", "x", pax_headers={"SCHILY.xattr.": "x"})],
        "name is none",
    ),
    "an attribute of nobody": (
        lambda host: [entry("x", "x", pax_headers={"SCHILY.xattr.x": "x"})],
        "takes one of its",
    ),
    "an attribute of a link": (
        lambda host: [link("x", f"{host}/secret", **xattrs(user__x="x"))],
        "EPERM",
    ),
    "a name with a line end": (lambda host: [entry("a\n../b/../../x", "x")], "leads"),
}


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """An empty directory on a disk, where files can have all their attributes."""
    beside = os.path.dirname(os.environ["LABKIT_STATE"])
    with tempfile.TemporaryDirectory(prefix="layers-", dir=beside) as place:
        yield Path(place)


def unpacked(
    rows: list[Row] | bytes, root: Path, removed: Removed | None = None
) -> Applied:
    data = rows if isinstance(rows, bytes) else archive(rows)
    root.mkdir(exist_ok=True)
    blob = io.BufferedReader(io.BytesIO(data))
    return apply_layer(blob, HostPath(str(root)), removed)


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_gets_out_of_the_root(
    name: str, tmp_path: Path, host_directory: Path
) -> None:
    rows, refusal = HOSTILE[name]
    data = archive(rows(str(host_directory)))
    for form, removed in (("tree", None), ("layer", InOverlay(MARKS))):
        if not refusal:
            unpacked(data, tmp_path / form, removed)
            continue
        with pytest.raises(LabError) as refused:
            unpacked(data, tmp_path / form, removed)
        assert refusal in str(refused.value)
        assert len(str(refused.value).splitlines()) == 3


PATHS = st.sampled_from(
    ["a", "b", "a/b", "l", "l/x", "l/l/x", "d/d", "/", "./", "..", "a/..", "../host/x"]
    + ["", ".wh.a", "a/.wh.b", "l/.wh.secret", "l/.wh..wh..opq", ".wh..wh..opq"]
)
TARGETS = st.sampled_from(
    ["..", "../host", "../host/secret", "/", "a", "l", ".", "/proc/self/root", ""]
)
MODES = st.sampled_from([0, 0o644, 0o1777, 0o4755])
ROWS = st.one_of(
    st.builds(entry, PATHS, st.sampled_from(["", "x"]), mode=MODES),
    st.builds(folder, PATHS, mode=MODES),
    st.builds(link, PATHS, TARGETS),
    st.builds(hard, PATHS, st.one_of(PATHS, TARGETS)),
    st.builds(device, PATHS, st.just(tarfile.CHRTYPE), st.just(1), st.just(3)),
)
SAME_HOST = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@SAME_HOST
@given(st.lists(st.lists(ROWS, max_size=6), min_size=1, max_size=3), st.booleans())
def test_no_stack_of_layers_gets_out_of_its_root(
    tmp_path: Path, host_directory: Path, layers: list[list[Row]], alone: bool
) -> None:
    before, done = listing(host_directory), list[HostPath]()
    (tmp_path / "root").mkdir()
    try:
        for number, rows in enumerate(layers):
            root = tmp_path / "root" / (str(number) if alone else "")
            root.mkdir(exist_ok=True)
            blob = io.BufferedReader(io.BytesIO(archive(rows)))
            how = (InOverlay(MARKS), Below(done, MARKS)) if alone else (None, None)
            apply_layer(blob, HostPath(str(root)), *how)
            done.insert(0, HostPath(str(root)))
    except LabError as refused:
        assert len(str(refused).splitlines()) == 3
    shutil.rmtree(tmp_path / "root")
    assert listing(host_directory) == before


def test_a_link_of_a_layer_below_does_not_lead_out(
    tmp_path: Path, host_directory: Path
) -> None:
    below = tmp_path / "root" / "below"
    layer = tmp_path / "root" / "layer"
    (tmp_path / "root").mkdir()
    unpacked([link("out", str(host_directory)), link("up", "../../host")], below)
    layer.mkdir()
    rows = [entry("out/new", "x"), entry("up/new", "x"), entry("up/.wh.secret")]
    blob = io.BufferedReader(io.BytesIO(archive(rows)))
    stack = Below([HostPath(str(below))], MARKS)
    apply_layer(blob, HostPath(str(layer)), InOverlay(MARKS), stack)
    rows = [hard("x", "out/secret")]
    blob = io.BufferedReader(io.BytesIO(archive(rows)))
    with pytest.raises(DocumentError, match="isn't there"):
        apply_layer(blob, HostPath(str(layer)), InOverlay(MARKS), stack)


@BESIDE_A_HOST
def test_marks_of_an_overlay_are_left_out(tmp_path: Path) -> None:
    rows = HOSTILE["a mark of an overlay"][0]("")
    unpacked(rows, tmp_path / "root")
    assert os.listxattr(tmp_path / "root/d") == os.listxattr(tmp_path / "root/f") == []


@BESIDE_A_HOST
def test_setuid_and_devices_cannot_be_reached_by_others(tmp_path: Path) -> None:
    store = Store(HostPath(str(tmp_path / "store")))
    put_image(store, "su", [archive(HOSTILE["a setuid file and a device"][0](""))])
    (tmp_path / "layers").mkdir()
    trees = Trees(HostPath(str(tmp_path / "layers")), MARKS)
    (path,) = trees.unpack(Image.find(store, "su"))
    tmp_path.chmod(0o755)
    assert stat.S_IMODE(os.stat(f"{path}/su").st_mode) == 0o6755
    assert "PermissionError" in as_ordinary_user(lambda: os.stat(f"{path}/su"))


@BESIDE_A_HOST
def test_names_that_differ_by_case_or_form_are_all_there(tmp_path: Path) -> None:
    unpacked(HARD["names-alike"][0], tmp_path / "root")
    assert len(os.listdir(tmp_path / "root")) == 5


@BESIDE_A_HOST
def test_a_bomb_leaves_nothing_behind(tmp_path: Path) -> None:
    store, trees = store_and_trees(tmp_path)
    bomb = archive([entry("zeros", bytes(20 << 20))])
    assert len(gzip.compress(bomb)) * 800 < len(bomb)
    put_image(store, "bomb", [HARD["plain"][0], bomb])
    with pytest.raises(DocumentError, match="more than 1048576 bytes"):
        trees.unpack(Image.find(store, "bomb"), limits=Limits(bytes=1 << 20))
    complete = [name for name in os.listdir(trees.root) if not name.startswith(".")]
    assert len(complete) == 2  # the layer below the bomb, and its description
    assert len(trees.unpack(Image.find(store, "bomb"))) == 2


@BESIDE_A_HOST
def test_many_empty_files_are_counted(tmp_path: Path) -> None:
    rows = [entry(f"d{n // 100}/{n}") for n in range(1_500)]
    data = archive(rows, tarfile.USTAR_FORMAT)
    blob = io.BufferedReader(io.BytesIO(data))
    (tmp_path / "few").mkdir()
    with pytest.raises(DocumentError, match="more than 999 names"):
        apply_layer(blob, HostPath(f"{tmp_path}/few"), limits=Limits(names=999))
    assert unpacked(data, tmp_path / "root").names == 1_500


@BESIDE_A_HOST
def test_a_layer_that_is_not_the_configs_is_refused(tmp_path: Path) -> None:
    store, trees = store_and_trees(tmp_path)
    good, other = HARD["plain"][0], archive([entry("other", "x")])
    put_image(store, "good", [good])
    config = Image.find(store, "good").config
    layer = store.write(gzip.compress(other), "application/x")
    put_documents(store, "wrong", [layer], config.diff_ids)
    with pytest.raises(DigestMismatch, match="diff_id"):
        trees.unpack(Image.find(store, "wrong"))
    assert trees.get(config.diff_ids[0]) is None
    # The next try, of the right image with the same diff_id, works.
    (path,) = trees.unpack(Image.find(store, "good"))
    assert Path(path, "etc/motd").read_text() == "hello\n"


@BESIDE_A_HOST
def test_a_changed_byte_of_a_layer_is_refused(tmp_path: Path) -> None:
    store, trees = store_and_trees(tmp_path)
    put_image(store, "x", [HARD["many"][0]])
    image = Image.find(store, "x")
    blob = Path(store.path(image.layers[0].descriptor.digest))
    data = bytearray(blob.read_bytes())
    data[-9] ^= 1
    blob.write_bytes(bytes(data))
    with pytest.raises(DocumentError):
        trees.unpack(image)
    assert [n for n in os.listdir(trees.root) if not n.startswith(".lock")] == []


def test_layers_are_unpacked_once_and_shared(tmp_path: Path) -> None:
    store, trees = store_and_trees(tmp_path)
    put_image(store, "one", HARD["whiteout"])
    put_image(store, "two", [HARD["whiteout"][0], HARD["xattrs"][0]])
    said: list[str] = []
    one = trees.unpack(Image.find(store, "one"), lambda la: said.append(la.diff_id))
    two = trees.unpack(Image.find(store, "two"), lambda la: said.append(la.diff_id))
    assert one[1] == two[1]
    assert len(said) == len(set(said)) == 3
    trees.unpack(Image.find(store, "one"), lambda la: said.append("again"))
    assert "again" not in said


def test_an_implied_directory_has_the_attributes_of_the_one_below(
    tmp_path: Path,
) -> None:
    store, trees = store_and_trees(tmp_path)
    rows = [folder("private", mode=0o700, uid=5), entry("private/x", "x")]
    put_image(store, "x", [archive(rows), archive([entry("private/y", "y")])])
    top, _ = trees.unpack(Image.find(store, "x"))
    found = os.stat(f"{top}/private")
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o700, 5)


def test_the_mounted_layers_are_the_tree(tmp_path: Path) -> None:
    # "hard-links": an overlay shows how many names a file has in its own layer.
    wrong = {}
    for name in [n for n in HARD if n not in ("hard-links", "many")]:
        place = tmp_path / name
        place.mkdir()
        store, trees = store_and_trees(place)
        put_image(store, "x", HARD[name])
        image = Image.find(store, "x")
        (place / "tree").mkdir()
        for layer in image.layers:
            apply_layer(store.open(layer.descriptor), HostPath(f"{place}/tree"))
        with mounted(trees.unpack(image), place) as merged:
            found = differences(listing(merged), listing(place / "tree"))
        wrong[name] = {p: pair for p, pair in found.items() if not _made_now(pair)}
    assert {name: found for name, found in wrong.items() if found} == {}


def _made_now(pair: tuple[object, object]) -> bool:
    # A directory that no archive names has the time at which it was made.
    ours, theirs = pair
    assert isinstance(ours, tuple)
    assert isinstance(theirs, tuple)
    recent = time.time_ns() - 10**12
    same = ours[:2] + ours[3:] == theirs[:2] + theirs[3:]
    return bool(same and (ours[2] > recent or theirs[2] > recent))


class mounted:
    """An overlay of layers, in the test's own mount namespace."""

    def __init__(self, lower: tuple[HostPath, ...], place: Path) -> None:
        self.lower, self.place = lower, place

    def __enter__(self) -> Path:
        for name in ("upper", "work", "merged"):
            (self.place / name).mkdir()
        options = f"lowerdir={':'.join(self.lower)},upperdir={self.place}/upper"
        options += f",workdir={self.place}/work"
        merged = f"{self.place}/merged"
        Linux(forked=True).mount("overlay", merged, "overlay", MS(0), options)
        return Path(merged)

    def __exit__(self, *error: object) -> None:
        Linux(forked=True).umount2(f"{self.place}/merged", MNT(0))


@BESIDE_A_HOST
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    Linux(forked=True).mount("labkit", str(disk), "tmpfs", MS(0), "size=4m")
    try:
        store = Store(HostPath(str(tmp_path / "store")))
        big = [entry(f"f{n}", os.urandom(1 << 20)) for n in range(6)]
        put_image(store, "big", [archive(big)])
        put_image(store, "small", [HARD["plain"][0]])
        (disk / "layers").mkdir()
        trees = Trees(HostPath(str(disk / "layers")), MARKS)
        with pytest.raises(LimitReached) as full:
            trees.unpack(Image.find(store, "big"))
        assert full.value.errno == errno.ENOSPC
        assert "full" in str(full.value)
        assert len(trees.unpack(Image.find(store, "small"))) == 1
        small = Store(HostPath(str(disk / "store")))
        with pytest.raises(LabError, match="full"):
            small.write(os.urandom(6 << 20), "x")
        Path(small.root, "ingest").joinpath(
            os.listdir(f"{small.root}/ingest")[0]
        ).unlink()
        assert small.read(small.write(b"fits", "x")) == b"fits"
    finally:
        Linux(forked=True).umount2(str(disk), MNT(0))


_UNPACK = """
import sys
from labkit.image import Image, Store, Trees
trees = Trees(sys.argv[2], "trusted.overlay.")
print("ready", flush=True)
print(trees.unpack(Image.find(Store(sys.argv[1]), "x")))
"""


def _started(store: Store, trees: Trees) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", _UNPACK, store.root, trees.root]
    task = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert task.stdout is not None
    task.stdout.readline()
    return task


@BESIDE_A_HOST
@pytest.mark.parametrize("moment", [1, 3])
def test_kill_at_any_moment_and_the_next_try_works(moment: int, tmp_path: Path) -> None:
    store, trees = store_and_trees(tmp_path)
    put_image(store, "x", [HARD["many"][0], HARD["plain"][0], HARD["whiteout"][1]])
    with _started(store, trees) as task:
        time.sleep(0.03 * moment)
        task.kill()
    for digest in store.all():
        store.open(Descriptor("", digest, os.path.getsize(store.path(digest)))).read()
    paths = trees.unpack(Image.find(store, "x"))
    assert len(os.listdir(f"{paths[2]}/m")) == 1500
    left = [n for n in os.listdir(trees.root) if n.startswith(".") and "lock" not in n]
    assert left == []


@BESIDE_A_HOST
def test_two_processes_unpack_one_image_at_once(tmp_path: Path) -> None:
    store, trees = store_and_trees(tmp_path)
    put_image(store, "x", [HARD["many"][0], HARD["plain"][0]])
    with _started(store, trees) as one, _started(store, trees) as two:
        answers = {one.communicate()[0], two.communicate()[0]}
    assert (one.returncode, two.returncode) == (0, 0)
    assert len(answers) == 1


def test_prune_removes_the_layers_that_nothing_uses(tmp_path: Path) -> None:
    store, trees = store_and_trees(tmp_path)
    put_image(store, "x", HARD["whiteout"])
    image = Image.find(store, "x")
    below, top = trees.unpack(image)[::-1]
    os.mkdir(f"{trees.root}/.half")
    assert trees.prune([image.layers[0].chain_id]) == 1
    assert (os.path.exists(below), os.path.exists(top)) == (True, False)
    assert trees.prune([]) == 1
    names = os.listdir(trees.root)
    assert [name for name in names if not name.startswith(".lock")] == []


def test_what_lies_between_two_trees_makes_one_into_the_other(tmp_path: Path) -> None:
    wrong = {}
    for name in [n for n in HARD if len(HARD[n]) == 2]:
        place = tmp_path / name
        place.mkdir()
        for tree, count in (("old", 1), ("new", 2), ("again", 1)):
            for data in HARD[name][:count]:
                unpacked(data, place / tree)
        out = io.BytesIO()
        old, new = HostPath(f"{place}/old"), HostPath(f"{place}/new")
        write(changed_between(old, new), out.write)
        unpacked(out.getvalue(), place / "again")
        found = differences(listing(place / "again"), listing(place / "new"))
        wrong[name] = {p: pair for p, pair in found.items() if not _made_now(pair)}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_an_ordinary_user_owns_what_is_unpacked(tmp_path: Path) -> None:
    able = entry("x", "x", uid=7, **xattrs(security__capability=CAPABILITY))
    data = archive([*TREE, able, entry("etc/.wh.motd")])

    def unpack() -> str:
        root = Path(os.environ["LABKIT_STATE"], "root")
        unpacked(data, root, InOverlay("user.overlay."))
        return f"{os.stat(root / 'x').st_uid} {os.stat(root / 'etc/motd').st_size}"

    assert as_ordinary_user(unpack) == "65534 6"


def store_and_trees(place: Path) -> tuple[Store, Trees]:
    (place / "layers").mkdir()
    store = Store(HostPath(str(place / "store")))
    return store, Trees(HostPath(str(place / "layers")), MARKS)
