"""An overlay's directories: made, replaced, removed; its options; what it tells."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labkit.errors import (
    DocumentError,
    HostError,
    NoDirectory,
    NoSuchPath,
    StateError,
)
from labkit.linux import CLONE
from labkit.plan import Plan, handle
from labkit.primitives.mounts import MakePrivate
from labkit.primitives.namespaces import Unshare
from labkit.primitives.overlay import Overlay, remove_tree
from labkit.primitives.overlay_mount import MountOverlay
from labkit.primitives.root import PivotRoot


@pytest.fixture
def lower(tmp_path: Path) -> str:
    """A lower layer called base, with one file."""
    (tmp_path / "base" / "etc").mkdir(parents=True)
    (tmp_path / "base" / "etc" / "motd").write_text("welcome")
    return str(tmp_path / "base")


def mount(*lowerdirs: str, userxattr: bool = False) -> MountOverlay:
    """Return a step with short names."""
    return MountOverlay(lowerdirs, "/u", "/w", "/m", userxattr)


def test_the_options_are_as_mount_wants_them() -> None:
    expected = "lowerdir=/a:/b,upperdir=/u,workdir=/w,redirect_dir=off"
    assert mount("/a", "/b").options() == expected


def test_in_a_user_namespace_marks_are_user_attributes() -> None:
    assert mount("/a", userxattr=True).options().endswith(",userxattr")


@pytest.mark.parametrize(
    ("path", "escaped"),
    [("/a:b", r"/a\:b"), ("/a,b", r"/a\,b"), ("/a\\b", r"/a\\b"), ("/a=b", "/a=b")],
)
def test_a_path_may_have_any_character(path: str, escaped: str) -> None:
    assert f"lowerdir={escaped}," in mount(path).options()


def test_options_longer_than_a_page_are_refused_and_not_cut() -> None:
    with pytest.raises(StateError, match="longer than a page"):
        mount(*(f"/layers/{number:060}" for number in range(100))).options()


def test_it_is_mounted_before_the_root_changes() -> None:
    own = (Unshare(CLONE.NEWNS), MakePrivate("/"))
    assert Plan(*own, mount("/a"), PivotRoot("/m")).why() == "the order is right"
    assert (
        "must come before PivotRoot" in Plan(*own, PivotRoot("/m"), mount("/a")).why()
    )


def test_it_says_how_many_layers_it_has() -> None:
    assert mount("/a").describe() == (
        "mount an overlay on /m: an upper layer over a lower layer"
    )
    assert "2 lower layers" in mount("/a", "/b").describe()


def test_its_directories_are_made_empty(lower: str) -> None:
    with Overlay.create("box", (lower,)) as box:
        assert sorted(os.listdir(box.directory)) == ["merged", "upper", "work"]
        assert os.stat(box.upperdir).st_mode & 0o777 == 0o755
        assert box.mount().target == box.merged


def test_it_is_recorded_until_it_is_removed(lower: str) -> None:
    box = Overlay.create("box", (lower,))
    assert [(r.kind, r.name) for r in handle.records()] == [("overlay", "box")]
    box.remove()
    box.remove()
    assert handle.records() == ()
    assert not os.path.exists(box.directory)


def test_a_cell_that_runs_again_gets_an_empty_one(lower: str) -> None:
    Path(Overlay.create("box", (lower,)).upperdir, "old").touch()
    with Overlay.create("box", (lower,)) as again:
        assert os.listdir(again.upperdir) == []


def test_a_dead_notebooks_overlay_is_replaced(lower: str) -> None:
    program = (
        "import sys; from labkit.primitives.overlay import Overlay\n"
        "Overlay.create('box', (sys.argv[1],)); import os; os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, lower], check=True)
    with Overlay.create("box", (lower,)) as box:
        assert handle.records()[0].ours
        assert box.name == "box"


def test_a_missing_layer_is_told_by_the_call_that_missed_it() -> None:
    with pytest.raises(NoSuchPath, match=r'open\("/no/such/layer"'):
        Overlay.create("box", ("/no/such/layer",))
    with pytest.raises(NoDirectory):
        Overlay.create("box", ("/etc/passwd",))
    assert handle.records() == ()


@pytest.mark.parametrize("wrong", ["/a", Path("/a"), ()])
def test_layers_are_a_tuple_of_paths(wrong: object) -> None:
    with pytest.raises(TypeError, match="lowerdirs is a tuple of paths"):
        Overlay.create("box", wrong)  # type: ignore[arg-type]


def test_a_name_cannot_lead_out_of_the_state(lower: str) -> None:
    with pytest.raises(DocumentError):
        Overlay.create("../box", (lower,))


def test_an_upper_layer_is_not_put_on_an_overlay(
    lower: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labkit.state.filesystem_type", lambda path: "overlay")
    with pytest.raises(HostError, match="lies on an overlay"):
        Overlay.create("box", (lower,))


def test_layers_are_called_by_their_directories(lower: str) -> None:
    with Overlay.create("box", (lower,)) as box:
        assert [layer.name for layer in box.layers()] == ["upper", "base"]


@pytest.mark.parametrize("second", ["base", "upper"])
def test_layers_of_the_same_name_are_called_by_their_place(
    lower: str, tmp_path: Path, second: str
) -> None:
    (tmp_path / "other" / second).mkdir(parents=True)
    with Overlay.create("box", (lower, tmp_path / "other" / second)) as box:
        names = [layer.name for layer in box.layers()]
        assert names == ["upper", "lower 1", "lower 2"]


def test_where_tells_the_layer_of_a_path(lower: str) -> None:
    with Overlay.create("box", (lower,)) as box:
        assert box.where("/etc/motd").layer == "base"
        assert box.where("etc//motd/").path == "/etc/motd"
        with pytest.raises(NoSuchPath, match=r'stat\("/etc/no"\): ENOENT'):
            box.where("/etc/no")


def test_a_change_of_a_lower_layer_is_seen(lower: str) -> None:
    with Overlay.create("box", (lower,)) as box:
        assert len(box.tree()) == 2
        Path(lower, "etc", "new").touch()
        assert box.where("/etc/new").layer == "base"


def test_its_text_shows_the_stack_and_the_changes(lower: str) -> None:
    with Overlay.create("box", (lower,), userxattr=True) as box:
        Path(box.upperdir, "opt", "deep").mkdir(parents=True)
        Path(box.upperdir, "note").write_text("hello")
        assert box.text() == (
            "merged  5 names       what the container sees\n"
            "upper   3 names  5 B  its changes\n"
            "base    2 names  7 B  never changes\n"
            "new  /note\n"
            "new  /opt   names in it: 1"
        )


def test_its_repr_has_nothing_that_changes(lower: str) -> None:
    with Overlay.create("box", (lower,)) as box:
        assert repr(box) == "Overlay('box')"


def test_looking_at_thousands_of_files_twice_a_second_costs_little(
    tmp_path: Path,
) -> None:
    for number in range(4000):
        folder = tmp_path / "big" / str(number // 40)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / str(number)).touch()
    with Overlay.create("box", (tmp_path / "big",)) as box:
        first, second = (seconds_of(box) for _ in range(2))
        # A ratio, because this machine may be busy: what is kept must pay.
        assert second < first / 2


def seconds_of(box: Overlay) -> float:
    """Return how long one look takes."""
    start = time.perf_counter()
    assert len(box.tree()) == 4100
    box.layers()
    return time.perf_counter() - start


@pytest.mark.parametrize("path", ["/etc", "/", "/var/lib/labkit"])
def test_only_directories_of_the_lab_are_removed(path: str) -> None:
    with pytest.raises(StateError, match="no directory of the lab"):
        remove_tree(path)  # type: ignore[arg-type]


def test_a_link_in_an_upper_layer_is_removed_and_not_followed(
    lower: str, tmp_path: Path
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    with Overlay.create("box", (lower,)) as box:
        os.symlink(tmp_path / "precious", f"{box.upperdir}/link")
    assert (tmp_path / "precious" / "file").exists()
