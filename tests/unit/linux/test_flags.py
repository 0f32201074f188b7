"""Flags print as the kernel's headers spell them."""

from __future__ import annotations

import pytest

from labkit.linux import CAP, CLONE, MNT, MS, NamespaceType
from labkit.linux.flags import MOUNT_ATTR, PR, O


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        (CLONE.NEWNS, "CLONE_NEWNS"),
        (CLONE.NEWNS | CLONE.NEWUTS, "CLONE_NEWNS|CLONE_NEWUTS"),
        (MS(0), "0"),
        (MS.BIND | MS.REC, "MS_BIND|MS_REC"),
        (MNT.DETACH, "MNT_DETACH"),
        (O.WRONLY | O.CREAT, "O_WRONLY|O_CREAT"),
        (MOUNT_ATTR.RDONLY, "MOUNT_ATTR_RDONLY"),
        (CAP.SYS_ADMIN, "CAP_SYS_ADMIN"),
        (PR.SET_NO_NEW_PRIVS, "PR_SET_NO_NEW_PRIVS"),
    ],
)
def test_a_flag_is_written_as_in_c(flag: object, text: str) -> None:
    assert str(flag) == text


@pytest.mark.parametrize(
    ("kind", "proc", "clone"),
    [
        ("mount", "mnt", CLONE.NEWNS),
        ("pid", "pid", CLONE.NEWPID),
        ("network", "net", CLONE.NEWNET),
        ("ipc", "ipc", CLONE.NEWIPC),
        ("uts", "uts", CLONE.NEWUTS),
        ("user", "user", CLONE.NEWUSER),
        ("cgroup", "cgroup", CLONE.NEWCGROUP),
        ("time", "time", CLONE.NEWTIME),
    ],
)
def test_a_namespace_has_three_names(kind: str, proc: str, clone: CLONE) -> None:
    namespace = NamespaceType(kind)
    assert (namespace.proc, namespace.clone) == (proc, clone)


def test_there_are_eight_kinds_of_namespace() -> None:
    assert len(NamespaceType) == 8
