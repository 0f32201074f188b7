"""A chroot is no boundary and pivot_root is: the same escape, twice."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import Busy, NoSuchPath, SyscallError
from labkit.linux import CLONE, MS, Linux
from labkit.plan import Plan, step
from labkit.primitives.mounts import BindMount, MakePrivate, MountFilesystem
from labkit.primitives.namespaces import Unshare
from labkit.primitives.root import Chdir, Chroot, MakeDir, PivotRoot, escape
from labkit.rootfs import rootfs

pytestmark = pytest.mark.usefixtures("as_root")
OWN = Plan(Unshare(CLONE.NEWNS), MakePrivate("/"))


@pytest.fixture(scope="module")
def root() -> str:
    """A small Linux."""
    return str(rootfs("alpine").path)


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A file outside, with a secret in it."""
    path = tmp_path / "marker"
    path.write_text(secrets.token_hex(8))
    yield path


def tries_to_read(linux: Linux, path: str) -> None:
    """Read a file and print it, or the name of the error."""
    try:
        print(linux.read_file(path), end="")
    except SyscallError as refused:
        print(refused.errno_name, end="")


def said_by(plan: Plan) -> str:
    """Run all steps; return what they printed."""
    with plan.fork(unchecked=True) as child:  # an escape has no right order
        child.run()
        return child.output


def refusal_of(plan: Plan) -> SyscallError:
    """Run all steps; return the error of the one that Linux refused."""
    with plan.fork() as child, pytest.raises(SyscallError) as refused:
        child.run()
    return refused.value


def test_a_chroot_shows_the_same_kernel_another_root(root: str) -> None:
    with Plan(Chroot(root), Chdir("/")).fork() as child:
        child.run()
        assert "alpine" in child.exec(["cat", "/etc/os-release"]).stdout
        assert child.exec(["uname", "-r"]).stdout.strip() == os.uname().release
        assert os.readlink(f"/proc/{child.pid}/root") == root


def test_a_chroot_does_not_move_the_working_directory(root: str) -> None:
    with Plan(Chdir("/proc"), Chroot(root), Chdir(".")).fork() as child:
        child.run()
        assert os.readlink(f"/proc/{child.pid}/cwd") == "/proc"


def test_a_marker_outside_is_not_there_in_a_chroot(root: str, marker: Path) -> None:
    inside = Plan(Chroot(root), Chdir("/"), step(tries_to_read, str(marker)))
    assert said_by(inside) == "ENOENT"


def test_root_climbs_out_of_a_chroot_in_four_calls(
    tmp_path: Path, marker: Path
) -> None:
    (tmp_path / "box").mkdir()
    jail = Plan(Chroot(str(tmp_path / "box")), Chdir("/"))
    out = jail + escape() + step(tries_to_read, str(marker))
    assert said_by(out) == marker.read_text()


def test_the_same_escape_does_not_lead_out_of_a_pivot_root(
    tmp_path: Path, marker: Path
) -> None:
    box = tmp_path / "box"
    box.mkdir()
    locked = OWN + BindMount(str(box), str(box)) + PivotRoot(str(box))
    out = locked + escape() + step(tries_to_read, str(marker))
    assert said_by(out) == "ENOENT"


def test_after_a_pivot_root_no_mount_of_the_host_is_left(root: str) -> None:
    proc = MountFilesystem("proc", f"{root}/proc")
    plan = OWN + BindMount(root, root) + proc + PivotRoot(root)
    with plan.fork() as child:
        child.run()
        mounts = child.exec(["cat", "/proc/mounts"]).stdout.splitlines()
        assert [line.split()[1] for line in mounts] == ["/", "/proc"]
        assert os.readlink(f"/proc/{child.pid}/root") == "/"


def test_the_host_does_not_notice_a_pivot_root(tmp_path: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    box = str(tmp_path)
    with (OWN + BindMount(box, box) + PivotRoot(box)).fork() as child:
        child.run()
        assert Path("/proc/self/mountinfo").read_text() == before


def test_on_a_private_root_mount_an_ordinary_directory_is_busy(tmp_path: Path) -> None:
    on_root_mount = Path("/").stat().st_dev == tmp_path.stat().st_dev
    box = tmp_path if on_root_mount else Path("/var")
    refused = refusal_of(OWN + PivotRoot(str(box)))
    assert (type(refused), refused.errno_name) == (Busy, "EBUSY")
    assert "is no mount point, or it is the current root" in refused.meaning


def test_on_another_mount_an_ordinary_directory_is_invalid(tmp_path: Path) -> None:
    other = MountFilesystem("tmpfs", str(tmp_path))
    box = f"{tmp_path}/box"
    refused = refusal_of(OWN + other + MakeDir(box) + PivotRoot(box))
    assert refused.message == 'pivot_root(".", "."): EINVAL'


def shared(linux: Linux) -> None:
    """Make every mount propagate, as systemd does."""
    linux.mount(None, "/", None, MS.REC | MS.SHARED)


def test_on_a_shared_mount_even_a_mount_point_is_invalid(tmp_path: Path) -> None:
    box = str(tmp_path)
    # In a namespace of its own, so that what is shared is shared with nobody.
    plan = Plan(Unshare(CLONE.NEWNS), MakePrivate("/"), step(shared))
    refused = refusal_of(plan + BindMount(box, box) + PivotRoot(box))
    assert refused.message == 'pivot_root(".", "."): EINVAL'
    assert 'MakePrivate("/") first' in refused.hint


def test_a_directory_that_does_not_exist_is_told_by_its_path() -> None:
    pivoted = refusal_of(OWN + PivotRoot("/no/such"))
    assert pivoted.message == 'chdir("/no/such"): ENOENT'
    chrooted = refusal_of(Plan(Chroot("/no/such"), Chdir("/")))
    assert chrooted.message == 'chroot("/no/such"): ENOENT'


def test_a_root_without_a_shell_cannot_start_one(tmp_path: Path) -> None:
    with Plan(Chroot(str(tmp_path)), Chdir("/")).fork() as child:
        child.run()
        with pytest.raises(NoSuchPath) as refused:
            child.exec(["/bin/sh"])
    assert "a root without a shell can't start /bin/sh" in refused.value.hint


def test_a_directory_that_is_there_may_be_made_again(tmp_path: Path) -> None:
    path = str(tmp_path / "d")
    with Plan(MakeDir(path), MakeDir(path)).fork() as child:
        assert [event.error for event in child.run()] == [None, None]
