"""Who a process is: root inside, somebody else outside, as Linux shows it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labkit.errors import HostError, NotPermitted, SyscallError
from labkit.host import Host, Privilege, Trial
from labkit.linux import CAP, CLONE, MS, Linux
from labkit.linux.views import ContainerId, HostId
from labkit.plan import Child, Plan, Step
from labkit.primitives.idmap import (
    AskNewuidmap,
    BecomeRoot,
    DenySetgroups,
    WriteIdMaps,
    steps_for,
)
from labkit.primitives.ids import IdMap, IdMapping, container_id, host_id, ids_of
from labkit.primitives.namespaces import Unshare
from tests.kernel.ordinary_user import NOBODY, as_ordinary_user
from tests.support.skips import need

pytestmark = pytest.mark.usefixtures("user_namespaces")
USER = Unshare(CLONE.NEWUSER)


@pytest.fixture
def user_namespaces(host: Host) -> None:
    """Only where user namespaces can be made."""
    works = host.trials.works(Trial.USER_NAMESPACE)
    need("namespaces", works, host.trials.failure(Trial.USER_NAMESPACE))


def rows(*numbers: int) -> tuple[IdMapping, ...]:
    inside, outside, length = numbers
    return (IdMapping(ContainerId(inside), HostId(outside), length),)


def applied(*steps: Step) -> Child:
    """A child in a user namespace of its own, with steps applied to it."""
    child = Plan(USER, *steps).fork()
    try:
        child.run()
    except BaseException:
        child.stop()
        raise
    return child


def test_before_a_map_everybody_inside_is_nobody() -> None:
    with applied() as child:
        assert IdMap.of(child.pid) == IdMap((), ())
        assert child.exec(["id", "-u"]).stdout == "65534\n"


def test_root_inside_is_somebody_else_outside(host: Host) -> None:
    with applied(*steps_for(host)) as child:
        maps = IdMap.of(child.pid)
        assert child.exec(["id", "-u"]).stdout == "0\n"
        uid, _ = ids_of(child.pid)
        assert uid == host_id(maps.uids, ContainerId(0))
        assert container_id(maps.uids, uid) == 0


def test_a_range_of_root_holds_none_of_the_hosts_ids(host: Host) -> None:
    need("root", host.privilege.has(CAP.SETUID, CAP.SETGID), "CAP_SETUID is missing")
    with applied(*steps_for(host)) as child:
        maps = IdMap.of(child.pid)
        assert container_id(maps.uids, HostId(0)) is None
        assert child.exec(["id", "-G"]).stdout == "0\n"


def test_a_file_of_the_hosts_root_is_nobodys_inside(as_root: None) -> None:
    with applied(WriteIdMaps(rows(0, 100_000, 10), rows(0, 100_000, 10))) as child:
        assert child.exec(["stat", "-c", "%u", "/etc/passwd"]).stdout == "65534\n"


def test_a_map_is_written_once_only(as_root: None) -> None:
    again = WriteIdMaps(rows(0, 100_000, 1), rows(0, 100_000, 1))
    with pytest.raises(NotPermitted, match=r'write\("/proc/PID/uid_map"'):
        applied(again, again)


def test_ranges_that_overlap_are_refused(as_root: None) -> None:
    twice = (*rows(0, 100_000, 2), *rows(1, 200_000, 2))
    with pytest.raises(SyscallError, match="EINVAL\nan id map has lines of three"):
        applied(WriteIdMaps(twice, twice))


def test_id_0_that_is_not_mapped_cannot_be_taken(as_root: None) -> None:
    with pytest.raises(SyscallError, match="EINVAL"):
        applied(WriteIdMaps(rows(5, 100_000, 1), rows(5, 100_000, 1)), BecomeRoot())


# an ordinary user


def words_inside(*steps: Step) -> str:
    """What the inside is for itself, and for the host."""
    with applied(*steps) as child:
        said = child.exec(["id", "-u"]).stdout.strip()
        return f"{said} inside, {ids_of(child.pid)[0]} outside"


OWN = rows(0, NOBODY, 1)


def test_an_ordinary_user_is_root_inside(as_root: None) -> None:
    steps = (DenySetgroups(), WriteIdMaps(OWN, OWN), BecomeRoot())
    said = as_ordinary_user(lambda: words_inside(*steps))
    assert said == f"0 inside, {NOBODY} outside"


def test_without_denying_setgroups_the_gid_map_is_refused(as_root: None) -> None:
    said = as_ordinary_user(lambda: words_inside(WriteIdMaps(OWN, OWN)))
    assert 'write("/proc/PID/gid_map", "0 65534 1"): EPERM' in said
    assert "setgroups" in said


def test_an_ordinary_user_may_not_map_others_ids(as_root: None) -> None:
    theirs = WriteIdMaps(rows(0, 0, 1), OWN)
    said = as_ordinary_user(lambda: words_inside(DenySetgroups(), theirs))
    assert "EPERM\nthese ids aren't yours to map" in said


def test_the_steps_of_an_ordinary_user_work_for_one(as_root: None) -> None:
    host = Host("6.1.0", Privilege(root=False))
    said = as_ordinary_user(lambda: words_inside(*steps_for(host)))
    assert said == f"0 inside, {NOBODY} outside"


def test_once_denied_setgroups_stays_denied(as_root: None) -> None:
    own = rows(0, os.getuid(), 1)
    with pytest.raises(NotPermitted, match="setgroups"):
        applied(DenySetgroups(), WriteIdMaps(own, own), BecomeRoot(clear_groups=True))


# newuidmap


def test_without_newuidmap_the_package_is_named(host: Host) -> None:
    need("no-newuidmap", not host.tool("newuidmap"), "this machine has newuidmap")
    with pytest.raises(HostError, match="newuidmap: exit code 127"):
        applied(AskNewuidmap(OWN, OWN))


def test_newuidmap_gives_an_ordinary_user_a_range(
    as_root: None, host: Host, tmp_path: Path
) -> None:
    need("newuidmap", host.tool("newuidmap"), "this machine has no newuidmap")
    (tmp_path / "ranges").write_text(f"{NOBODY}:200000:1000\n")

    def give_ranges(linux: Linux) -> None:
        linux.unshare(CLONE.NEWNS)
        linux.mount(None, "/", None, MS.REC | MS.PRIVATE)
        for name in ("/etc/subuid", "/etc/subgid"):
            linux.mount(str(tmp_path / "ranges"), name, None, MS.BIND)

    more = (*OWN, *rows(1, 200_000, 1000))
    steps = (AskNewuidmap(more, more), BecomeRoot())
    said = as_ordinary_user(lambda: words_inside(*steps), give_ranges)
    assert said == f"0 inside, {NOBODY} outside"
