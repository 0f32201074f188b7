"""Each primitive makes the calls that its page promises, in their order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from labkit.linux import CLONE, MS, HostPid
from labkit.plan import Step
from labkit.primitives.devices import MakeLink
from labkit.primitives.mounts import BindMount, MakePrivate, MountFilesystem
from labkit.primitives.namespaces import JoinNamespaces, SetHostname, Unshare
from labkit.primitives.overlay_mount import MountOverlay
from labkit.primitives.process import Exec, Fork
from labkit.primitives.root import Chdir, Chroot, MakeDir, PivotRoot, escape

PAGES: list[tuple[Step, list[str]]] = [
    (Fork(), ["fork()"]),
    (Exec(["/bin/ls", "-l"]), ['execve("/bin/ls", ["/bin/ls", "-l"], [3 variables])']),
    (Unshare(CLONE.NEWUTS), ["unshare(CLONE_NEWUTS)"]),
    (SetHostname("box"), ['sethostname("box", 3)']),
    (
        JoinNamespaces(HostPid(7), CLONE.NEWNET),
        ["pidfd_open(7, 0)", "setns(3, CLONE_NEWNET)", "close(3)"],
    ),
    (Chdir("/"), ['chdir("/")']),
    (Chroot("/box"), ['chroot("/box")']),
    (MakeDir("/d"), ['mkdir("/d", 0755)']),
    (
        PivotRoot("/box"),
        [
            'chdir("/box")',
            'pivot_root(".", ".")',
            'umount2(".", MNT_DETACH)',
            'chdir("/")',
        ],
    ),
    (MakePrivate("/"), ['mount(NULL, "/", NULL, MS_REC|MS_PRIVATE, NULL)']),
    (BindMount("/a", "/b"), ['mount("/a", "/b", NULL, MS_BIND|MS_REC, NULL)']),
    (
        MountFilesystem("tmpfs", "/t", MS.NOSUID, "size=1m"),
        ['mount("tmpfs", "/t", "tmpfs", MS_NOSUID, "size=1m")'],
    ),
    (
        MountOverlay(("/a", "/b"), "/u", "/w", "/m"),
        [
            'mount("overlay", "/m", "overlay", 0, '
            '"lowerdir=/a:/b,upperdir=/u,workdir=/w,redirect_dir=off")'
        ],
    ),
    (MakeLink("to", "/from"), ['symlink("to", "/from")']),
]


@pytest.mark.parametrize(
    ("step", "calls"), PAGES, ids=[type(step).__name__ for step, _ in PAGES]
)
def test_a_primitive_makes_its_calls(
    calls_of: Callable[..., list[str]], step: Step, calls: list[str]
) -> None:
    assert calls_of(step) == calls


def test_the_way_out_of_a_chroot_is_four_calls() -> None:
    calls = [call.text for call in escape(2).rehearse()]
    assert calls == [
        'mkdir("way-out", 0755)',
        'chroot("way-out")',
        'chdir("../..")',
        'chroot(".")',
    ]
