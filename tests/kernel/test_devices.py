"""The minimal /dev works, made by root as well as bound in a user namespace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit.errors import AlreadyThere, NotPermitted
from labkit.host import Host, Trial
from labkit.linux import CLONE, Linux
from labkit.plan import Child, Plan, step
from labkit.primitives.devices import MakeDevice, MakeLink, minimal_dev
from labkit.primitives.mounts import BindMount, MakePrivate, MountFilesystem
from labkit.primitives.namespaces import Unshare
from labkit.primitives.process import Fork
from labkit.primitives.root import PivotRoot
from labkit.rootfs import rootfs
from tests.support.skips import need

pytestmark = pytest.mark.usefixtures("as_root")


def maps_root(linux: Linux) -> None:
    """Map one id, as an ordinary user may."""
    linux.write_file("/proc/self/setgroups", "deny")
    linux.write_file("/proc/self/uid_map", "0 0 1")
    linux.write_file("/proc/self/gid_map", "0 0 1")


@pytest.fixture(scope="module", params=["made", "bound"])
def box(request: pytest.FixtureRequest, host: Host) -> Iterator[Child]:
    """A container with the minimal /dev."""
    bound = request.param == "bound"
    trial = Trial.OVERLAY_IN_USER_NAMESPACE if bound else Trial.PIVOT_ROOT
    need("namespaces", host.trials.works(trial), host.trials.failure(trial))
    root = str(rootfs("alpine").path)
    user = Plan(Unshare(CLONE.NEWUSER), step(maps_root)) if bound else Plan()
    plan = user + Plan(
        Unshare(CLONE.NEWNS | CLONE.NEWPID),
        MakePrivate("/"),
        Fork(),
        BindMount(root, root),
        minimal_dev(root, host, user_namespace=bound),
        MountFilesystem("proc", f"{root}/proc"),
        PivotRoot(root),
    )
    with plan.fork() as child:
        child.run()
        yield child


WORKS = [
    # what a program does, and what it sees
    ("echo gone > /dev/null; cat /dev/null", ""),
    ("head -c 3 /dev/zero | hexdump -v -e '1/1 \"%d \"'", "0 0 0 "),
    ("echo x > /dev/full || echo full", "full\n"),
    ("head -c 16 /dev/random | wc -c", "16\n"),
    ("head -c 16 /dev/urandom | wc -c", "16\n"),
    ("echo hello > /dev/stdout", "hello\n"),
    ("echo hello | cat /dev/stdin", "hello\n"),
    ("readlink /dev/fd; readlink /dev/ptmx", "/proc/self/fd\npts/ptmx\n"),
    ("echo kept > /dev/shm/file; cat /dev/shm/file", "kept\n"),
    ("stat -c %a /dev/shm /dev/null", "1777\n666\n"),
    ("stat -c %t:%T /dev/null /dev/tty", "1:3\n5:0\n"),
    ("test -c /dev/pts/ptmx && echo terminals", "terminals\n"),
]


@pytest.mark.parametrize(("script", "said"), WORKS, ids=[s for s, _ in WORKS])
def test_a_device_works(box: Child, script: str, said: str) -> None:
    assert box.exec(["sh", "-c", script]).stdout == said


def test_there_is_nothing_else_in_dev(box: Child) -> None:
    assert box.exec(["ls", "/dev"]).stdout.split() == [
        "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
        "stdout", "tty", "urandom", "zero",
    ]  # fmt: skip


def test_a_disk_of_the_hosts_is_not_there(box: Child) -> None:
    assert (
        box.exec(["sh", "-c", "ls /dev/vd* /dev/sd* /dev/nvme* /dev/mem"]).stdout == ""
    )


def test_in_a_user_namespace_no_device_can_be_made() -> None:
    plan = Plan(Unshare(CLONE.NEWUSER), step(maps_root), MakeDevice("/tmp/null", 1, 3))
    with plan.fork() as child, pytest.raises(NotPermitted) as refused:
        child.run()
    assert "CAP_MKNOD in the first user namespace" in refused.value.meaning


def test_a_link_that_is_there_is_told(tmp_path: object) -> None:
    link = MakeLink("to", f"{tmp_path}/link")
    with Plan(link, link).fork() as child, pytest.raises(AlreadyThere):
        child.run()
