"""Images become containers, and containers images."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import state
from labkit.cli import main
from labkit.errors import StateError
from labkit.host import Host
from labkit.image import Image, Reference, Store, Trees
from labkit.image.container_changes import commit, diff, export, export_image
from labkit.image.verbs import prune
from labkit.image.view import ImageView
from labkit.linux import CLONE
from labkit.linux.views import HostPath
from labkit.plan import Plan
from labkit.primitives.mounts import MakePrivate
from labkit.primitives.namespaces import Unshare
from labkit.primitives.overlay import Overlay
from labkit.sweep import left, sweep
from tests.support.archives import HARD
from tests.support.layouts import put_image

pytestmark = pytest.mark.usefixtures("as_root")

CHANGES = "echo x > new; rm etc/passwd; echo more >> usr/lib/libc.so; rm -r var/lib/old"
IT, MADE = Reference.parse("it"), Reference.parse("made")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state of its own, on a disk that can hold layers."""
    # Beside the run's own state, because an overlay's upper can't be on an overlay.
    import os
    import tempfile

    own = tempfile.mkdtemp(prefix="image-", dir=os.path.dirname(state.location()))
    monkeypatch.setenv("LABKIT_STATE", own)
    return Path(own)


@pytest.fixture
def changed(place: Path) -> Iterator[Overlay]:
    """An overlay of the image "it", in which a shell has changed files."""
    put_image(Store.default(), "it", HARD["whiteout"])
    layers = Trees.default().unpack(Image.find(Store.default(), "it"))
    with Overlay.create("box", layers) as box:
        with Plan(Unshare(CLONE.NEWNS), MakePrivate("/"), box.mount()).fork() as child:
            child.run()
            done = child.exec(["/bin/sh", "-ec", f"cd {box.merged}; {CHANGES}"])
            assert done.exit.code == 0, done.stderr
        yield box


def names(data: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name for member in tar}


def test_diff_says_what_was_added_changed_and_removed(changed: Overlay) -> None:
    found = {path: letter for letter, path in diff(changed)}
    assert found["/new"] == "A"
    assert found["/usr/lib/libc.so"] == found["/usr/lib"] == "C"
    assert found["/etc/passwd"] == found["/var/lib/old"] == "D"
    assert "/lib" not in found


def test_a_committed_image_is_its_base_and_one_layer_more(changed: Overlay) -> None:
    store, trees = Store.default(), Trees.default()
    commit(store, trees, changed, MADE)
    base, made = Image.find(store, "it"), Image.find(store, "made")
    assert made.layers[:2] == base.layers
    assert made.layers[2].instruction == "labkit commit box"
    top = trees.unpack(made)[0]
    assert Path(top, "usr/lib/libc.so").read_text() == "somore\n"
    view = ImageView.of(made, trees)
    assert view.where("/new").layer == "layer 3"
    assert view.where("usr/lib/libc.so").hides == ("layer 1",)
    assert not view.where("/etc/passwd").visible
    assert view.where("/etc/motd").layer == "layer 2"  # a whiteout
    assert [layer.name for layer in view.layers] == ["layer 3", "layer 2", "layer 1"]


def test_a_container_without_an_image_is_committed_with_its_root(place: Path) -> None:
    root = place / "roots" / "own"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "motd").write_text("hello")
    with Overlay.create("box", [root]) as box:
        Path(box.upperdir, "new").write_text("x")
        commit(Store.default(), Trees.default(), box, MADE)
    image = Image.find(Store.default(), "made")
    assert [layer.instruction for layer in image.layers] == [
        "labkit commit: the root below",
        "labkit commit box",
    ]
    out = io.BytesIO()
    export_image(Trees.default(), image, out.write)
    assert names(out.getvalue()) == {"etc", "etc/motd", "new"}


def test_export_writes_what_the_container_sees(changed: Overlay) -> None:
    out = io.BytesIO()
    export(changed, out.write)
    seen = {str(entry.path).lstrip("/") for entry in changed.tree() if entry.visible}
    assert names(out.getvalue()) == seen


def test_prune_keeps_the_layers_of_a_container(
    changed: Overlay, host: Host, place: Path
) -> None:
    store, trees = Store.default(), Trees.default()
    store.untag(IT)
    prune(store, trees)
    assert all(Path(path).is_dir() for path in changed.lowerdirs)
    assert list(store.all()) == []  # the image's blobs are gone, its files aren't
    changed.remove()
    prune(store, trees)
    assert not any(Path(path).exists() for path in changed.lowerdirs)


def test_sweep_finds_what_a_kill_left_of_an_unpacking(host: Host, place: Path) -> None:
    trees = Trees.default()
    half = Path(trees.root, ".0123456789abcdef")
    (half / "deep").mkdir(parents=True)
    assert "half a layer" in left(host).text()
    sweep(host)
    assert not half.exists()


def test_the_commands_do_the_same(
    changed: Overlay, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*words: str) -> str:
        assert main(words) == 0
        return capsys.readouterr().out

    assert "D /etc/passwd\n" in said("diff", "box")
    digest = said("commit", "box", "made:1").strip()
    assert said("tag", "made:1", "again") == "docker.io/library/again:latest\n"
    assert f'"Digest": "{digest}"' in said("inspect", "again")
    assert "labkit commit box" in said("history", "made:1")
    assert said("save", "made:1", "-o", f"{place}/saved.tar") == ""
    assert said("rmi", "made:1", "again").count("removed") == 2
    assert said("load", "-i", f"{place}/saved.tar").startswith("loaded: docker.io")
    said("export", "box", "-o", f"{place}/box.tar")
    said("export", "made:1", "-o", f"{place}/made.tar")
    assert names(Path(place, "box.tar").read_bytes()) == names(
        Path(place, "made.tar").read_bytes()
    )
    said("import", f"{place}/box.tar", "flat")
    assert [line.split()[0] for line in said("images").splitlines()] == [
        "NAME", "flat:latest", "it:latest", "made:1",
    ]  # fmt: skip
    assert "removed: " in said("images", "prune")


@pytest.mark.parametrize(
    "words",
    [
        ("rmi", "nowhere"),
        ("inspect", "NO NAME"),
        ("diff", "nowhere"),
        ("commit", "nowhere", "x"),
        ("load", "-i", "/nowhere"),
        ("load", "-i", "/etc/passwd"),
        ("import", "/etc/passwd", "x"),
        ("save", "nowhere", "-o", "/tmp/labkit-nowhere.tar"),
        ("export", "nowhere", "-o", "/nowhere/x"),
        ("tag", "nowhere", "x"),
        ("history", "nowhere"),
    ],
)
def test_a_command_that_fails_says_why_and_leaves_nothing(
    words: tuple[str, ...], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    assert len(capsys.readouterr().err.splitlines()) == 3
    assert not list(Path("/tmp").glob("labkit-nowhere.tar*"))


def test_an_overlay_that_is_not_there_is_not_found(place: Path) -> None:
    with pytest.raises(StateError, match="there is none"):
        Overlay.find("nowhere")
    assert HostPath(str(place)) == state.location()
