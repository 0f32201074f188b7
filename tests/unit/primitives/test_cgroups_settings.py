"""What config.json limits, as files and texts of both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import DocumentError
from labkit.host import CgroupLayout, Controller, Layout
from labkit.linux import HostPath, Linux
from labkit.linux.trace import Recorder
from labkit.primitives.cgroups.place import (
    MakeCgroup,
    Place,
    birthplace,
    moved_into,
    places_of,
)
from labkit.primitives.cgroups.settings import (
    ROWS,
    LimitCgroup,
    disk_setting,
    settings_of,
    unified_setting,
)
from labkit.values import replace


def texts(version: int, **amounts: int | str) -> dict[str, str]:
    return {one.file: one.text for one in settings_of(amounts, version=version)}


def test_the_same_amounts_are_written_as_each_version_wants_them() -> None:
    amounts = {
        "memory_limit": 1 << 20, "cpu_shares": 1024, "cpu_quota": 50_000,
        "cpu_period": 100_000, "pids_limit": 10, "cpus": "0-1",
    }  # fmt: skip
    assert texts(1, **amounts) == {
        "memory.limit_in_bytes": "1048576", "cpu.shares": "1024",
        "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000",
        "cpuset.cpus": "0-1", "pids.max": "10",
    }  # fmt: skip
    assert texts(2, **amounts) == {
        "memory.max": "1048576", "cpu.weight": "39", "cpu.max": "50000 100000",
        "cpuset.cpus": "0-1", "pids.max": "10",
    }  # fmt: skip


def test_minus_one_is_no_limit() -> None:
    assert texts(1, memory_limit=-1, pids_limit=-1, cpu_quota=-1) == {
        "memory.limit_in_bytes": "-1", "cpu.cfs_quota_us": "-1", "pids.max": "max",
    }  # fmt: skip
    assert texts(2, memory_limit=-1, pids_limit=-1, cpu_quota=-1) == {
        "memory.max": "max", "cpu.max": "max", "pids.max": "max",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("shares", "weight"), [(2, "1"), (1024, "39"), (262144, "10000")]
)
def test_shares_become_a_weight_as_other_runtimes_turn_them(
    shares: int, weight: str
) -> None:
    assert texts(2, cpu_shares=shares) == {"cpu.weight": weight}


def test_swap_is_counted_with_memory_and_in_v2_by_itself() -> None:
    both = {"memory_limit": 10, "memory_swap": 25}
    assert texts(1, **both)["memory.memsw.limit_in_bytes"] == "25"
    assert texts(2, **both)["memory.swap.max"] == "15"
    assert texts(2, memory_limit=10, memory_swap=-1)["memory.swap.max"] == "max"


@pytest.mark.parametrize(
    "amounts", [{"memory_swap": 5}, {"memory_limit": 9, "memory_swap": 5}]
)
def test_swap_that_cant_be_told_is_refused(amounts: dict[str, int]) -> None:
    with pytest.raises(DocumentError, match="memory/swap"):
        texts(2, **amounts)


def test_a_disks_rates_go_into_one_file_or_one_each() -> None:
    v1 = disk_setting("read_bps", "8:0", 1024, version=1)
    assert v1 == ("io", "blkio.throttle.read_bps_device", "8:0 1024")
    weights = [disk_setting("weight", "8:0", 500, version=v) for v in (1, 2)]
    assert [one.text for one in weights] == ["8:0 500", "8:0 4950"]
    v2 = disk_setting("write_iops", "8:0", 0, version=2)
    assert v2 == ("io", "io.max", "8:0 wiops=max")


@pytest.mark.parametrize(
    ("version", "file"), [(1, "memory.max"), (2, "../x/memory.max")]
)
def test_a_file_that_isnt_this_groups_is_refused(version: int, file: str) -> None:
    with pytest.raises(DocumentError, match="unified"):
        unified_setting(file, "1", version=version)


def test_every_row_has_a_file() -> None:
    assert all(row.v1 or row.v2 for row in ROWS)


V1 = CgroupLayout(
    Layout.LEGACY,
    tuple(
        Controller(n, 1, HostPath(f"/cg/{n}"), HostPath(f"/cg/{n}/own"))
        for n in ("pids", "memory", "freezer")
    ),
)
V2 = CgroupLayout(Layout.UNIFIED, (), HostPath("/cg"), HostPath("/cg/own"))


def test_an_absolute_path_begins_at_the_top_and_a_relative_one_at_ours() -> None:
    assert [p.directory for p in places_of("/a/b", V2)] == ["/cg/a/b"]
    assert [p.directory for p in places_of("a/b", V2)] == ["/cg/own/a/b"]
    assert [p.directory for p in places_of("/a", V1)] == [
        "/cg/memory/a", "/cg/pids/a", "/cg/freezer/a",
    ]  # fmt: skip


def test_beside_the_trees_of_v1_a_process_is_born_in_that_of_v2() -> None:
    beside = replace(V1, layout=Layout.HYBRID, unified=HostPath("/cg/unified"))
    places = places_of("/a", beside)
    assert birthplace(places) == "/cg/unified/a"
    assert moved_into(places) == ("/cg/memory/a", "/cg/pids/a", "/cg/freezer/a")
    assert birthplace(places_of("/a", beside, ("memory",))) is None
    assert moved_into(places_of("/a", V2)) == ()


def test_a_weight_of_disks_goes_to_bfq_where_nothing_else_knows_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "blkio.bfq.weight").touch()
    LimitCgroup("a", ((HostPath(f"{tmp_path}/blkio.weight"), "333"),)).apply(Linux())
    assert (tmp_path / "blkio.bfq.weight").read_text() == "333"
    with pytest.raises(FileNotFoundError):
        LimitCgroup("a", ((HostPath(f"{tmp_path}/pids.max"), "1"),)).apply(Linux())


@pytest.mark.parametrize("path", ["/a/../b", "", "/", "system.slice:x:y"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(DocumentError, match="cgroupsPath"):
        places_of(path, V2)


def test_in_v2_each_level_hands_its_controllers_down() -> None:
    files = {
        "/cg/cgroup.controllers": "cpu memory pids",
        "/cg/cgroup.subtree_control": "cpu",
        "/cg/a/cgroup.controllers": "cpu memory",
        "/cg/a/cgroup.subtree_control": "cpu memory",
    }
    recorder = Recorder(files=files)
    MakeCgroup("x", (Place("", HostPath("/cg"), "a/b"),)).apply(recorder)
    made = [call.text for call in recorder.calls if call.name in ("mkdir", "write")]
    assert made == [
        'write(5, "+memory +pids")', 'mkdir("/cg/a", 0755)', 'mkdir("/cg/a/b", 0755)',
    ]  # fmt: skip
