"""Id maps: what the steps write, which steps a user gets, what a map says."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import OrderError, StateError
from labkit.host import Host, IdRange, Privilege, Tool
from labkit.linux import CAP, CLONE, Recorder
from labkit.linux.views import ContainerId, HostId, HostPath, HostPid
from labkit.plan import Plan
from labkit.plan.step import Where
from labkit.primitives.idmap import (
    UNASSIGNED,
    AskNewuidmap,
    BecomeRoot,
    DenySetgroups,
    WriteIdMaps,
    steps_for,
)
from labkit.primitives.ids import IdMap, IdMapping, container_id, host_id, ids_of
from labkit.primitives.namespaces import Unshare

USER_NAMESPACE = Unshare(CLONE.NEWUSER)


def row(inside: int, outside: int, length: int) -> IdMapping:
    return IdMapping(ContainerId(inside), HostId(outside), length)


OWN = (row(0, 1000, 1),)
RANGES = (row(0, 1000, 1), row(1, 100_000, 65_536))
SUBORDINATE = (IdRange(HostId(100_000), 65_536),)
NEWUIDMAP = Tool("newuidmap", HostPath("/usr/bin/newuidmap"))


# what the steps do


def test_each_map_is_one_write_from_outside() -> None:
    recorder = Recorder(inside=HostPid(42))
    WriteIdMaps(RANGES, OWN).apply(recorder)
    assert [call.text for call in recorder.calls if call.name != "close"] == [
        'open("/proc/42/uid_map", O_WRONLY, 0644)',
        'write(3, "0 1000 1\\n1 100000 65536")',
        'open("/proc/42/gid_map", O_WRONLY, 0644)',
        'write(4, "0 1000 1")',
    ]
    assert WriteIdMaps.where is Where.OUTSIDE


def test_setgroups_is_denied_for_the_inside() -> None:
    recorder = Recorder(inside=HostPid(42))
    DenySetgroups().apply(recorder)
    texts = [call.text for call in recorder.calls]
    assert texts[:2] == [
        'open("/proc/42/setgroups", O_WRONLY, 0644)',
        'write(3, "deny")',
    ]


def test_newuidmap_is_given_the_pid_and_the_numbers() -> None:
    recorder = Recorder(inside=HostPid(42))
    AskNewuidmap(RANGES, OWN).apply(recorder)
    started = [call.text for call in recorder.calls if call.name == "execve"]
    words = '["newuidmap", "42", "0", "1000", "1", "1", "100000", "65536"]'
    assert any(words in text for text in started)
    assert any('["newgidmap", "42", "0", "1000", "1"]' in text for text in started)


def test_root_gives_up_groups_before_it_takes_its_ids() -> None:
    recorder = Recorder()
    BecomeRoot(clear_groups=True).apply(recorder)
    assert [call.text for call in recorder.calls] == [
        "setgroups([])",
        "setresgid(0, 0, 0)",
        "setresuid(0, 0, 0)",
    ]


def test_a_step_says_which_ids_it_maps() -> None:
    assert WriteIdMaps(OWN, OWN).describe() == (
        "map ids: uid 0 is 1000 outside (1), gid 0 is 1000 outside (1)"
    )


# their order


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (Plan(WriteIdMaps(OWN, OWN)), "the first user namespace has its map"),
        (Plan(DenySetgroups()), "the first user namespace has its map"),
        (Plan(AskNewuidmap(OWN, OWN)), "the first user namespace has its map"),
        (Plan(BecomeRoot()), "outside it would be the host's root"),
        (
            Plan(USER_NAMESPACE, WriteIdMaps(OWN, OWN), DenySetgroups()),
            "refuses an ordinary user's gid_map",
        ),
        (
            Plan(USER_NAMESPACE, BecomeRoot(), WriteIdMaps(OWN, OWN)),
            "no id inside is anybody's",
        ),
        (
            Plan(USER_NAMESPACE, BecomeRoot(), AskNewuidmap(OWN, OWN)),
            "no id inside is anybody's",
        ),
    ],
)
def test_a_wrong_order_is_refused_with_its_reason(wrong: Plan, reason: str) -> None:
    with pytest.raises(OrderError, match=reason):
        wrong.check()


# which of them


def user(*tools: Tool, ranges: tuple[IdRange, ...] = ()) -> Host:
    """An ordinary user, with or without newuidmap and ranges."""
    return Host(
        "6.1.0", Privilege(False), subordinate_uids=ranges, subordinate_gids=ranges,
        tools=tools,
    )  # fmt: skip


def kinds(host: Host) -> list[type]:
    return [type(step) for step in steps_for(host)]


def test_an_ordinary_user_maps_the_own_id_and_denies_setgroups() -> None:
    assert kinds(user()) == [DenySetgroups, WriteIdMaps, BecomeRoot]
    maps = steps_for(user())[1]
    assert isinstance(maps, WriteIdMaps)
    assert [mapping.length for mapping in (*maps.uids, *maps.gids)] == [1, 1]


def test_ranges_need_the_program_and_the_file() -> None:
    assert kinds(user(NEWUIDMAP, ranges=SUBORDINATE)) == [AskNewuidmap, BecomeRoot]
    assert kinds(user(NEWUIDMAP)) == kinds(user(ranges=SUBORDINATE)) == kinds(user())


def test_with_newuidmap_the_ranges_begin_at_1_inside() -> None:
    ask = steps_for(user(NEWUIDMAP, ranges=SUBORDINATE))[0]
    assert isinstance(ask, AskNewuidmap)
    assert ask.uids[1] == row(1, 100_000, 65_536)


def test_the_steps_of_every_user_are_in_a_right_order() -> None:
    for host in (user(), user(NEWUIDMAP, ranges=SUBORDINATE)):
        Plan(USER_NAMESPACE, *steps_for(host)).check()


def test_root_maps_a_range_that_the_host_uses_for_nothing() -> None:
    if host_id(IdMap.of("self").uids, ContainerId(UNASSIGNED.first)) is None:
        pytest.skip("root-ids: this test runs where root has few ids itself")
    root = Host("6.1.0", Privilege(True, frozenset({CAP.SETUID, CAP.SETGID})))
    first = steps_for(root)[0]
    assert isinstance(first, WriteIdMaps)
    assert first.uids == (row(0, UNASSIGNED.first, UNASSIGNED.count),)


# what a map says


def proc_of(tmp_path: Path, uids: str, gids: str = "") -> str:
    """A /proc with one process."""
    (tmp_path / "42").mkdir()
    (tmp_path / "42/uid_map").write_text(uids)
    (tmp_path / "42/gid_map").write_text(gids)
    (tmp_path / "42/status").write_text(
        "Name:\tsh\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n"
    )
    return str(tmp_path)


def test_a_map_is_read_as_numbers(tmp_path: Path) -> None:
    proc = proc_of(tmp_path, "         0       1000          1\n")
    assert IdMap.of(42, proc) == IdMap(OWN, ())


def test_a_map_is_shown_as_a_table(tmp_path: Path) -> None:
    shown = IdMap(RANGES, OWN)
    assert [line.split() for line in shown.text().splitlines()] == [
        ["inside", "outside", "length"],
        ["uid", "0", "1000", "1"],
        ["uid", "1", "100000", "65536"],
        ["gid", "0", "1000", "1"],
    ]
    assert repr(shown) == "IdMap(2 of uids, 1 of gids)"
    assert IdMap((), ()).text() == "nothing is mapped"


@pytest.mark.parametrize(
    ("inside", "outside"), [(0, 1000), (1, 100_000), (65_536, 165_535)]
)
def test_an_id_is_converted_both_ways(inside: int, outside: int) -> None:
    assert host_id(RANGES, ContainerId(inside)) == outside
    assert container_id(RANGES, HostId(outside)) == inside


def test_an_id_that_is_not_mapped_is_nobody() -> None:
    assert host_id(RANGES, ContainerId(65_537)) is None
    assert container_id(RANGES, HostId(0)) is None


def test_the_effective_ids_are_the_second_ones(tmp_path: Path) -> None:
    assert ids_of(42, proc_of(tmp_path, "")) == (2, 6)


def test_a_process_that_has_ended_has_no_map(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="uid_map was asked for has ended"):
        IdMap.of(43, proc_of(tmp_path, ""))
