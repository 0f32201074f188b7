"""Mounts: what is seen where, what is shared with the host, what refuses writing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import LabError, NoSuchPath, NotPermitted, NotSupported, SyscallError
from labkit.linux import CLONE, MNT, MS, Linux
from labkit.linux.proc import mounts
from labkit.plan import Child, Plan, Step, step
from labkit.primitives.mounts import (
    BindMount,
    MakePrivate,
    Mask,
    MountFilesystem,
    ReadonlyPath,
)
from labkit.primitives.namespaces import Unshare
from labkit.primitives.process import Fork
from labkit.primitives.root import MakeDir

pytestmark = pytest.mark.usefixtures("as_root")
OWN = Plan(Unshare(CLONE.NEWNS), MakePrivate("/"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with a file."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_text("content")
    (tmp_path / "target").mkdir()
    return tmp_path / "source"


@pytest.fixture
def target(source: Path) -> str:
    """An empty directory beside it."""
    return str(source.parent / "target")


def done(*steps: Step | Plan) -> Child:
    """Return a child in which steps have been applied in its own mount namespace."""
    child = (OWN + Plan(*steps)).fork()
    try:
        child.run()
    except LabError:
        child.stop()
        raise
    return child


def test_a_bind_shows_a_directory_at_a_second_place(source: Path, target: str) -> None:
    with done(BindMount(str(source), target)) as child:
        assert child.exec(["cat", f"{target}/file"]).stdout == "content"
        assert os.listdir(target) == []  # the host sees nothing of it


def test_a_bind_of_a_file_is_possible_too(source: Path) -> None:
    cover = source.parent / "cover"
    cover.touch()
    with done(BindMount(str(source / "file"), str(cover))) as child:
        assert child.exec(["cat", str(cover)]).stdout == "content"


def test_through_a_readonly_bind_nothing_is_written(source: Path, target: str) -> None:
    with done(BindMount(str(source), target, readonly=True)) as child:
        refused = child.exec(["touch", f"{target}/new"])
        assert "Read-only file system" in refused.stderr
        assert child.exec(["touch", f"{source}/new"]).exit.ok


def test_a_readonly_bind_reaches_the_mounts_below_it(source: Path, target: str) -> None:
    (source / "below").mkdir()
    below = MountFilesystem("tmpfs", str(source / "below"))
    with done(below, BindMount(str(source), target, readonly=True)) as child:
        refused = child.exec(["touch", f"{target}/below/new"])
        assert "Read-only file system" in refused.stderr
        assert child.exec(["touch", f"{source}/below/new"]).exit.ok


def test_a_source_or_a_target_that_is_missing_is_told(source: Path) -> None:
    with pytest.raises(NoSuchPath, match="mount.*ENOENT"):
        done(BindMount("/no/such", str(source)))
    with pytest.raises(NoSuchPath, match="mount.*ENOENT"):
        done(BindMount(str(source), "/no/such"))


def test_a_directory_cannot_be_bound_over_a_file(source: Path) -> None:
    with pytest.raises(SyscallError, match="ENOTDIR"):
        done(BindMount(str(source), str(source / "file")))


def test_an_unknown_file_system_is_not_supported(target: str) -> None:
    with pytest.raises(NotSupported) as refused:
        done(MountFilesystem("nosuchfs", target))
    assert "doesn't know that file system type" in refused.value.meaning


def peers(linux: Linux, path: str) -> None:
    """Make a mount whose copies in other namespaces are told of new mounts."""
    linux.mount("tmpfs", path, "tmpfs")
    linux.mount(None, path, None, MS.SHARED)
    linux.mkdir(f"{path}/below")


@pytest.fixture
def shared(target: str) -> Iterator[Child]:
    """A process that plays a host on which, as under systemd, a mount is shared."""
    with done(step(peers, target)) as child:
        yield child


def joins_and_unshares(linux: Linux, pid: int) -> None:
    """Go into the mount namespace of the process that plays the host, and copy it."""
    linux.setns(linux.open(f"/proc/{pid}/ns/mnt"), CLONE.NEWNS)
    linux.unshare(CLONE.NEWNS)


@pytest.mark.parametrize("private", [True, False], ids=["private", "shared"])
def test_a_mount_below_a_shared_one_appears_on_the_host_unless_made_private(
    shared: Child, target: str, private: bool
) -> None:
    tmpfs = MountFilesystem("tmpfs", f"{target}/below")
    first = Plan(MakePrivate(target)) if private else Plan()
    plan = Plan(step(joins_and_unshares, shared.pid)) + first + tmpfs
    with plan.fork(unchecked=True) as child:
        child.run()
        seen = [m.target for m in mounts(shared.pid)]
        assert (f"{target}/below" in seen) is not private
        assert f"{target}/below" in [m.target for m in mounts(child.pid)]


def test_a_private_copy_says_so_in_mountinfo(shared: Child, target: str) -> None:
    plan = Plan(step(joins_and_unshares, shared.pid), MakePrivate(target))
    with plan.fork(unchecked=True) as child:
        before = {m.target: m.propagation for m in mounts(shared.pid)}
        child.run()
        after = {m.target: m.propagation for m in mounts(child.pid)}
        assert (before[target], after[target]) == ("shared", "private")


def test_proc_shows_the_pid_namespace_of_who_mounts_it(target: str) -> None:
    plan = Plan(
        Unshare(CLONE.NEWNS | CLONE.NEWPID),
        MakePrivate("/"),
        Fork(),
        MountFilesystem("proc", target),
    )
    with plan.fork() as child:
        child.run()
        pids = [name for name in child.exec(["ls", target]).stdout.split()]
        assert {name for name in pids if name.isdigit()} == {"1", "2"}  # 2 is ls


def test_a_tmpfs_takes_its_size(target: str) -> None:
    small = MountFilesystem("tmpfs", target, data="size=64k,mode=711")
    with done(small) as child:
        said = child.exec(
            ["dd", "if=/dev/zero", f"of={target}/f", "bs=1k", "count=100"]
        )
        assert "No space left" in said.stderr
        assert child.exec(["stat", "-c", "%a", target]).stdout == "711\n"


def test_a_masked_file_is_empty_and_a_masked_directory_too(source: Path) -> None:
    with done(Mask(str(source / "file"))) as child:
        assert child.exec(["cat", f"{source}/file"]).stdout == ""
    with done(Mask(str(source))) as child:
        assert child.exec(["ls", str(source)]).stdout == ""
        assert "Read-only" in child.exec(["touch", f"{source}/new"]).stderr


def test_what_is_not_there_needs_no_mask() -> None:
    with done(Mask("/no/such"), ReadonlyPath("/no/such")) as child:
        assert [event.error for event in child.events[-2:]] == [None, None]


def test_a_readonly_path_can_be_read(source: Path) -> None:
    with done(ReadonlyPath(str(source))) as child:
        assert child.exec(["cat", f"{source}/file"]).stdout == "content"
        assert "Read-only" in child.exec(["touch", f"{source}/new"]).stderr


def test_a_mount_of_the_child_is_gone_with_it(target: str) -> None:
    with done(MountFilesystem("tmpfs", target)) as child:
        assert target in [m.target for m in mounts(child.pid)]
    assert target not in [m.target for m in mounts()]


def attaches(linux: Linux, target: str) -> None:
    """Mount a tmpfs with the new API."""
    from labkit.linux.flags import FSCONFIG

    filesystem = linux.fsopen("tmpfs")
    linux.fsconfig(filesystem, FSCONFIG.SET_STRING, "size", "64k")
    linux.fsconfig(filesystem, FSCONFIG.CMD_CREATE)
    linux.move_mount(linux.fsmount(filesystem), target)


def makes_readonly(linux: Linux, target: str) -> None:
    """Change an attribute of a mount, and of all below it, at once."""
    from labkit.linux.flags import MOUNT_ATTR
    from labkit.linux.structs import MountAttributes

    readonly = MountAttributes(attr_set=MOUNT_ATTR.RDONLY)
    linux.mount_setattr(target, readonly, recursive=True)


def test_the_new_api_does_the_same(target: str) -> None:
    with done(step(attaches, target), step(makes_readonly, target)) as child:
        found = {m.target: m for m in mounts(child.pid)}[target]
        assert (found.fstype, found.options[0]) == ("tmpfs", "ro")
        assert "size=64k" in found.super_options


def copies(linux: Linux, source: str, target: str) -> None:
    """Bind with the new API: a detached copy, then attached."""
    from labkit.linux.flags import OPEN_TREE

    linux.move_mount(linux.open_tree(source, OPEN_TREE.CLONE), target)


def test_a_bind_is_a_detached_copy_that_is_attached(source: Path, target: str) -> None:
    with done(step(copies, str(source), target)) as child:
        assert child.exec(["cat", f"{target}/file"]).stdout == "content"


def unmounts(linux: Linux, target: str, flags: MNT) -> None:
    """Detach a mount."""
    linux.umount2(target, flags)


def test_a_mount_in_use_is_busy_and_can_be_detached(target: str) -> None:
    def stays(linux: Linux) -> None:
        linux.open(target)

    tmpfs = MountFilesystem("tmpfs", target)
    with done(tmpfs, step(stays), step(unmounts, target, MNT.DETACH)) as child:
        assert target not in [m.target for m in mounts(child.pid)]
    with pytest.raises(SyscallError, match=r"umount2\(.*EBUSY"):
        done(tmpfs, step(stays), step(unmounts, target, MNT(0)))


def test_without_the_capability_mounting_is_not_permitted() -> None:
    def becomes_a_user(linux: Linux) -> None:
        linux.setresgid(65534, 65534, 65534)
        linux.setresuid(65534, 65534, 65534)

    plan = OWN + step(becomes_a_user) + MountFilesystem("tmpfs", "/usr")
    with plan.fork() as child, pytest.raises(NotPermitted) as refused:
        child.run()
    assert "CAP_SYS_ADMIN is missing" in refused.value.meaning


def test_a_new_directory_can_be_a_mount_point(tmp_path: Path) -> None:
    path = f"{tmp_path}/new"
    with done(MakeDir(path), MountFilesystem("tmpfs", path)) as child:
        assert path in [m.target for m in mounts(child.pid)]
