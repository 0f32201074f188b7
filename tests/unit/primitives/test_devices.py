"""The minimal /dev is a plan; who may make devices is asked once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from labkit.host import Host, Privilege
from labkit.linux import CAP, CLONE, NamespaceType
from labkit.plan import Plan
from labkit.primitives.devices import BindDevice, MakeDevice, minimal_dev
from labkit.primitives.mounts import MakePrivate
from labkit.primitives.namespaces import Unshare
from labkit.primitives.root import PivotRoot

ROOT = Privilege(root=True, capabilities=frozenset(CAP))
USER = Privilege(root=False)
OWN = Plan(Unshare(CLONE.NEWNS), MakePrivate("/"))

# OCI runtime specification, config-linux.md, Default Devices, and their numbers.
OF_THE_SPEC = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}


def host_of(privilege: Privilege) -> Host:
    """Return a machine on which one has this privilege."""
    return Host("6.1.0", privilege)


def test_root_makes_the_devices_of_the_specification() -> None:
    made = [s for s in minimal_dev("/r", host_of(ROOT)) if isinstance(s, MakeDevice)]
    assert {one.path: (one.major, one.minor) for one in made} == {
        f"/r/dev/{name}": numbers for name, numbers in OF_THE_SPEC.items()
    }


@pytest.mark.parametrize(
    "privilege",
    [
        USER,
        replace(ROOT, capabilities=ROOT.capabilities - {CAP.MKNOD}),
        replace(ROOT, inner=frozenset({NamespaceType.USER})),
    ],
    ids=["user", "without-CAP_MKNOD", "in-a-user-namespace"],
)
def test_who_may_not_make_them_binds_the_hosts(privilege: Privilege) -> None:
    plan = minimal_dev("/r", host_of(privilege))
    bound = [step.source for step in plan if isinstance(step, BindDevice)]
    assert bound == [f"/dev/{name}" for name in OF_THE_SPEC]
    assert not [step for step in plan if isinstance(step, MakeDevice)]


def test_root_binds_them_too_for_a_plan_with_a_user_namespace() -> None:
    plan = minimal_dev("/r", host_of(ROOT), user_namespace=True)
    assert [step for step in plan if isinstance(step, BindDevice)]


@pytest.mark.parametrize("privilege", [ROOT, USER], ids=["root", "user"])
def test_links_terminals_and_shared_memory_are_there(privilege: Privilege) -> None:
    text = minimal_dev("/r", host_of(privilege)).text()
    for line in (
        "link /r/dev/fd to /proc/self/fd",
        "link /r/dev/ptmx to pts/ptmx",
        "link /r/dev/stderr to /proc/self/fd/2",
        "mount devpts on /r/dev/pts",
        "mount tmpfs on /r/dev/shm",
    ):
        assert line in text


def test_the_tmpfs_lets_devices_work() -> None:
    first = minimal_dev("/r", host_of(ROOT)).rehearse()[0]
    assert first.text == (
        'mount("tmpfs", "/r/dev", "tmpfs", MS_NOSUID, "mode=755,size=64k")'
    )


def test_a_users_terminals_have_no_group_because_its_id_is_not_mapped() -> None:
    calls = minimal_dev("/r", host_of(USER)).rehearse()
    [devpts] = [call.text for call in calls if "devpts" in call.text]
    assert "gid=" not in devpts


@pytest.mark.parametrize("privilege", [ROOT, USER], ids=["root", "user"])
def test_the_order_is_right_before_the_root_changes(privilege: Privilege) -> None:
    dev = minimal_dev("/r", host_of(privilege))
    assert (OWN + dev + PivotRoot("/r")).why() == "the order is right"


def test_the_hosts_devices_cannot_be_bound_after_it() -> None:
    late = OWN + PivotRoot("/r") + minimal_dev("/", host_of(USER))
    assert "BindDevice must come before PivotRoot" in late.why()


def test_a_device_may_be_used_by_everybody_whatever_the_umask(
    calls_of: Callable[..., list[str]],
) -> None:
    assert calls_of(MakeDevice("/d", 1, 3)) == [
        'mknod("/d", 020666, 259)',
        'chmod("/d", 0666)',
    ]


def test_a_bound_device_covers_a_file_made_for_it(
    calls_of: Callable[..., list[str]],
) -> None:
    assert calls_of(BindDevice("/dev/null", "/d"))[0] == (
        'open("/d", O_WRONLY|O_CREAT, 0644)'
    )
    assert calls_of(BindDevice("/dev/null", "/d"))[-1] == (
        'mount("/dev/null", "/d", NULL, MS_BIND, NULL)'
    )
