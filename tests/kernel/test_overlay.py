"""The layers as the lab reads them, and the mount as Linux shows it, are the same."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import HostError, NoSuchPath, SyscallError
from labkit.host import Host, Trial
from labkit.linux import CLONE, MS, HostPath, Linux
from labkit.linux.proc import mounts
from labkit.plan import Child, Plan, step
from labkit.primitives.layers import Entry
from labkit.primitives.mounts import MakePrivate, MountFilesystem
from labkit.primitives.namespaces import Unshare
from labkit.primitives.overlay import Overlay
from labkit.primitives.overlay_mount import MountOverlay
from labkit.primitives.root import MakeDir
from tests.kernel.changed_child import in_child
from tests.support.skips import need

pytestmark = pytest.mark.usefixtures("as_root")
OWN = Plan(Unshare(CLONE.NEWNS), MakePrivate("/"))

BASE = {
    "etc/hosts": "base",
    "etc/motd": "welcome",
    "bin/ls": "ls",
    "bin/cat": "cat",
    "opt/old/deep/file": "deep",
    "opt/old/other": "other",
    "var/log/boot": "boot",
}
MIDDLE = {"etc/hosts": "middle", "srv/www/index": "hello", "opt/old/other": "newer"}

# A script for the merged directory, and what the lab says then of some paths.
CHANGES = [
    ("echo more >> etc/hosts", ["/etc/hosts: copied-up, in upper, hides middle, base"]),
    ("chmod 600 etc/motd", ["/etc/motd: copied-up, in upper, hides base"]),
    ("touch etc/new", ["/etc/new: new, in upper", "/etc: copied-up, in upper"]),
    ("rm bin/ls", ["/bin/ls: whiteout, in upper, hides base"]),
    ("rm -r opt", ["/opt: whiteout, in upper, hides middle, base"]),
    (
        "rm -r opt; mkdir opt; touch opt/fresh",
        ["/opt: opaque, in upper, hides middle, base", "/opt/fresh: new, in upper"],
    ),
    (
        "sed -i s/welcome/hello/ etc/motd",
        ["/etc/motd: new, in upper, hides base"],
    ),
    ("rm bin/cat; mkdir bin/cat", ["/bin/cat: opaque, in upper, hides base"]),
    ("rm -r var; echo file > var", ["/var: new, in upper, hides base"]),
    ("mkdir -p a/b/c; touch a/b/c/d", ["/a: new, in upper", "/a/b/c/d: new, in upper"]),
    (
        "mv opt/old opt/renamed",
        ["/opt/old: whiteout, in upper, hides middle, base",
         "/opt/renamed/deep/file: new, in upper"],
    ),
    ("mv etc/motd etc/message", ["/etc/motd: whiteout, in upper, hides base"]),
    ("touch x; rm x", []),
    ("rm bin/ls; echo again > bin/ls", ["/bin/ls: new, in upper, hides base"]),
    ("ln -s /etc/hosts link; ln etc/motd etc/second", ["/link: new, in upper"]),
    ("mkfifo pipe; mknod null c 1 3", ["/pipe: new, in upper", "/null: new, in upper"]),
]  # fmt: skip


def tree(top: Path, files: dict[str, str]) -> Path:
    """Write a directory of files."""
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return top


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Overlay]:
    """An overlay over two layers."""
    lower = (tree(tmp_path / "middle", MIDDLE), tree(tmp_path / "base", BASE))
    with Overlay.create("box", lower) as made:
        yield made


@pytest.fixture
def mounted(overlay: Overlay) -> Iterator[Child]:
    """A child that has it mounted."""
    with (OWN + overlay.mount()).fork() as child:
        child.run()
        yield child


def does(child: Child, overlay: Overlay, script: str) -> None:
    """Run a script in the merged directory, as the child sees it."""
    result = child.exec(["sh", "-ec", f"cd {overlay.merged}; {script}"])
    assert (result.exit.code, result.stderr) == (0, "")


def shown(child: Child, overlay: Overlay) -> set[tuple[str, bool]]:
    """Return the paths that Linux shows in the mount, and which are directories."""
    top = f"/proc/{child.pid}/root{overlay.merged}"
    found = set()
    for folder, directories, files in os.walk(top):
        for name in directories + files:
            path = os.path.join(folder, name)
            is_directory = stat.S_ISDIR(os.lstat(path).st_mode)
            found.add((path.removeprefix(top), is_directory))
    return found


def computed(entries: tuple[Entry, ...]) -> set[tuple[str, bool]]:
    """Return the same from what the lab has read in the layers."""
    return {(str(entry.path), entry.directory) for entry in entries if entry.visible}


@pytest.mark.parametrize(
    ("script", "lines"), CHANGES, ids=[script for script, _ in CHANGES]
)
def test_the_lab_sees_what_linux_shows_and_says_why(
    overlay: Overlay, mounted: Child, script: str, lines: list[str]
) -> None:
    does(mounted, overlay, script)
    assert computed(overlay.tree()) == shown(mounted, overlay)
    assert set(lines) <= set(map(str, overlay.tree()))


def test_all_changes_together_are_seen_as_well(
    overlay: Overlay, mounted: Child
) -> None:
    mounted.exec(
        ["sh", "-c", f"cd {overlay.merged};" + ";".join(s for s, _ in CHANGES)]
    )
    assert computed(overlay.tree()) == shown(mounted, overlay)


def test_the_lower_layers_never_change(overlay: Overlay, mounted: Child) -> None:
    before = [sorted(os.walk(path)) for path in overlay.lowerdirs]
    for script, _ in CHANGES:
        mounted.exec(["sh", "-c", f"cd {overlay.merged}; {script}"])
    assert [sorted(os.walk(path)) for path in overlay.lowerdirs] == before
    assert Path(overlay.lowerdirs[1], "etc/hosts").read_text() == "base"


def test_a_file_is_copied_up_when_it_is_opened_for_writing(
    overlay: Overlay, mounted: Child
) -> None:
    does(mounted, overlay, "cat etc/motd > /dev/null")
    assert overlay.where("/etc/motd").layer == "base"
    does(mounted, overlay, ": >> etc/motd")
    assert Path(overlay.upperdir, "etc/motd").read_text() == "welcome"


def test_a_whiteout_is_a_character_device_0_0(overlay: Overlay, mounted: Child) -> None:
    does(mounted, overlay, "rm bin/ls")
    found = os.lstat(f"{overlay.upperdir}/bin/ls")
    assert stat.S_ISCHR(found.st_mode)
    assert found.st_rdev == 0


def test_an_opaque_directory_has_a_mark(overlay: Overlay, mounted: Child) -> None:
    does(mounted, overlay, "rm -r opt; mkdir opt")
    assert os.getxattr(f"{overlay.upperdir}/opt", "trusted.overlay.opaque") == b"y"


def test_the_mount_is_seen_by_the_child_only(overlay: Overlay, mounted: Child) -> None:
    assert overlay.merged in [mount.target for mount in mounts(mounted.pid)]
    assert overlay.merged not in [mount.target for mount in mounts()]
    assert os.listdir(overlay.merged) == []


def test_two_overlays_share_a_layer_and_no_change(
    overlay: Overlay, mounted: Child
) -> None:
    second = Overlay.create("other", overlay.lowerdirs)
    with second, (OWN + second.mount()).fork() as neighbour:
        neighbour.run()
        does(mounted, overlay, "echo mine > etc/motd")
        motd = neighbour.exec(["cat", f"{second.merged}/etc/motd"]).stdout
        assert motd == "welcome"


@pytest.mark.parametrize("name", ["a:b", "a,b", "a\\b", "a b", "a=b", "a'\"", "ä"])
def test_a_layers_path_may_have_any_character(tmp_path: Path, name: str) -> None:
    lower = tree(tmp_path / name, {"file": "content"})
    overlay = Overlay.create("box", (lower,))
    with overlay, (OWN + overlay.mount()).fork() as child:
        child.run()
        assert child.exec(["cat", f"{overlay.merged}/file"]).stdout == "content"


def test_in_a_user_namespace_the_marks_are_user_attributes(
    tmp_path: Path, host: Host
) -> None:
    trial = Trial.OVERLAY_IN_USER_NAMESPACE
    need("overlay", host.trials.works(trial), host.trials.failure(trial))
    lower = tree(tmp_path / "base", BASE)
    with Overlay.create("box", (lower,), userxattr=True) as overlay:
        first = Plan(Unshare(CLONE.NEWUSER), step(maps_root))
        with (first + OWN + overlay.mount()).fork() as child:
            child.run()
            script = "rm bin/ls; rm -r opt; mkdir opt; echo more >> etc/hosts"
            does(child, overlay, script)
            assert computed(overlay.tree()) == shown(child, overlay)
    assert overlay.mount().options().endswith("userxattr")


def test_a_place_without_user_attributes_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As tmpfs is before Linux 6.6: the mount would succeed, and rm fail with EIO.
    lower = tree(tmp_path / "base", BASE)
    place = tmp_path / "state"
    place.mkdir()
    monkeypatch.setenv("LABKIT_STATE", str(place))

    def on_ramfs(linux: Linux) -> str:
        linux.mount("ramfs", str(place), "ramfs", MS(0), None)
        with pytest.raises(HostError) as refused:
            Overlay.create("box", (lower,), userxattr=True)
        return f"{os.listdir(place / 'overlays')}\n{refused.value}"

    made, *said = in_child(on_ramfs).splitlines()
    assert made == "[]"
    assert said[0].endswith("its filesystem keeps no attributes user.*")
    assert "tmpfs has them since Linux 6.6" in said[1]


def maps_root(linux: Linux) -> None:
    """Map one id, as an ordinary user may."""
    linux.write_file("/proc/self/setgroups", "deny")
    linux.write_file("/proc/self/uid_map", "0 0 1")
    linux.write_file("/proc/self/gid_map", "0 0 1")


def test_it_is_removed_with_the_directory_that_linux_made_unreadable(
    overlay: Overlay, mounted: Child
) -> None:
    does(mounted, overlay, "rm -r opt; touch etc/new")
    mounted.stop()
    overlay.remove()
    assert not os.path.exists(overlay.directory)


def test_removing_it_under_a_mount_empties_the_childs_view_only(
    overlay: Overlay, mounted: Child
) -> None:
    overlay.remove()
    assert mounted.running
    assert Path(overlay.lowerdirs[1], "etc/motd").read_text() == "welcome"


def refusal(*steps: MountOverlay | MountFilesystem | MakeDir) -> SyscallError:
    """Return the error of a plan that mounts an overlay."""
    with (OWN + Plan(*steps)).fork() as child, pytest.raises(SyscallError) as refused:
        child.run()
    return refused.value


def at(top: Path, *names: str) -> tuple[str, ...]:
    """Make directories; return their paths."""
    for name in names:
        (top / name).mkdir(parents=True)
    return tuple(str(top / name) for name in names)


@pytest.mark.parametrize("below_upper", [True, False], ids=["in-upper", "twice"])
def test_layers_that_overlap_are_refused(
    overlay: Overlay, tmp_path: Path, below_upper: bool
) -> None:
    [inner] = at(Path(overlay.upperdir), "inner")
    lower = (inner,) if below_upper else (str(tmp_path / "base"),) * 2
    merged = overlay.merged
    refused = refusal(MountOverlay(lower, overlay.upperdir, overlay.workdir, merged))
    assert refused.errno_name == "ELOOP"
    assert "the layers overlap" in refused.meaning


def test_work_on_another_file_system_is_refused(
    overlay: Overlay, tmp_path: Path
) -> None:
    work, lower = at(tmp_path, "work", "lower")
    tmpfs = MountFilesystem("tmpfs", work)
    mount = MountOverlay((lower,), overlay.upperdir, work, overlay.merged)
    refused = refusal(tmpfs, mount)
    assert refused.errno_name == "EINVAL"
    assert "upper and work must lie on one file system" in refused.meaning


def test_an_upper_on_an_overlay_is_refused(overlay: Overlay) -> None:
    inner = [f"{overlay.merged}/{name}" for name in ("up", "work", "merged", "low")]
    made = [MakeDir(path) for path in inner]
    mount = MountOverlay((inner[3],), inner[0], inner[1], inner[2])
    refused = refusal(overlay.mount(), *made, mount)
    assert refused.errno_name == "EINVAL"
    assert "not on an overlay" in refused.meaning


def test_a_layer_that_went_away_is_told(overlay: Overlay, tmp_path: Path) -> None:
    mount = MountOverlay(
        ("/no/such",), overlay.upperdir, overlay.workdir, overlay.merged
    )
    refused = refusal(mount)
    assert isinstance(refused, NoSuchPath)


def test_a_target_in_use_by_this_process_is_detached_before_removal(
    overlay: Overlay,
) -> None:
    # Nobody mounts in the notebook; a sweep in a shell may find a mount there.
    def mounts_and_removes(linux: Linux, directory: HostPath) -> None:
        linux.mount("tmpfs", f"{directory}/merged", "tmpfs", MS(0))
        Overlay("box", (), userxattr=False).remove()

    with (OWN + step(mounts_and_removes, overlay.directory)).fork() as child:
        child.run()
    assert not os.path.exists(overlay.directory)
