"""A group's files, in a fixture for each layout: one value, whatever the version."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from labkit.errors import DocumentError, HostError, LabError, WrongProcess
from labkit.linux.views import HostPath
from labkit.primitives.cgroups import Cgroup, Change, IoLimit, Legacy, Unified
from labkit.primitives.cgroups.hierarchy import Hierarchy

M = 1024**2
V2 = {
    "cgroup.procs": "12\n11\n0\n",
    "cgroup.freeze": "0\n",
    "cgroup.events": "populated 1\nfrozen 0\n",
    "memory.current": "104857600\n",
    "memory.peak": "209715200\n",
    "memory.max": "268435456\n",
    "memory.swap.max": "0\n",
    "memory.events": "low 0\nhigh 0\nmax 35\noom 1\noom_kill 1\noom_group_kill 0\n",
    "cpu.max": "50000 100000\n",
    "cpu.weight": "100\n",
    "cpu.stat": "usage_usec 1500\nnr_periods 10\nnr_throttled 9\nthrottled_usec 700\n",
    "pids.current": "3\n",
    "pids.max": "32\n",
    "pids.events": "max 4\n",
    "io.max": "8:0 rbps=max wbps=8388608 riops=max wiops=max\n",
    "io.stat": "8:0 rbytes=5 wbytes=6 rios=1 wios=1 dbytes=0 dios=0\n",
}
V1 = {
    "memory": {
        "cgroup.procs": "11\n12\n",
        "memory.usage_in_bytes": "104857600\n",
        "memory.max_usage_in_bytes": "209715200\n",
        "memory.limit_in_bytes": "268435456\n",
        "memory.swappiness": "0\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    },
    "cpu": {
        "cgroup.procs": "11\n12\n",
        "cpu.cfs_quota_us": "50000\n",
        "cpu.cfs_period_us": "100000\n",
        "cpu.shares": "1024\n",
        "cpu.stat": "nr_periods 10\nnr_throttled 9\nthrottled_time 700999\n",
    },
    "cpuacct": {"cgroup.procs": "11\n12\n", "cpuacct.usage": "1500999\n"},
    "pids": {
        "cgroup.procs": "11\n12\n",
        "pids.current": "3\n",
        "pids.max": "32\n",
        "pids.events": "max 4\n",
    },
    "io": {
        "cgroup.procs": "11\n12\n",
        "blkio.throttle.read_bps_device": "",
        "blkio.throttle.write_bps_device": "8:0 8388608\n",
        "blkio.throttle.io_service_bytes_recursive": "8:0 Read 5\n8:0 Write 6\n",
    },
    "freezer": {"cgroup.procs": "11\n", "freezer.state": "THAWED\n"},
}


def write(folder: Path, files: Mapping[str, str]) -> HostPath:
    """A group's directory with these files; returns its parent."""
    (folder / "labkit-box").mkdir(parents=True)
    for name, text in files.items():
        (folder / "labkit-box" / name).write_text(text)
    return HostPath(str(folder))


def unified(root: Path) -> Hierarchy:
    """A v2 group, as on a machine with systemd."""
    return Unified(write(root, V2))


def legacy(root: Path) -> Hierarchy:
    """A v1 group: a directory for each controller, as on a hybrid machine."""
    return Legacy(tuple((name, write(root / name, V1[name])) for name in V1))


@pytest.fixture(params=[unified, legacy], ids=["v2", "v1"])
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Cgroup:
    return Cgroup("box", request.param(tmp_path))


def test_a_snapshot_has_the_same_numbers_in_both_versions(box: Cgroup) -> None:
    now = box.snapshot()
    assert (now.memory_bytes, now.memory_peak_bytes) == (100 * M, 200 * M)
    assert (now.memory_limit_bytes, now.oom_kills) == (256 * M, 1)
    assert (now.cpu_usage_us, now.cpu_limit, now.cpu_limit_percent) == (1500, 0.5, 50)
    assert (now.cpu_periods, now.cpu_throttled_periods) == (10, 9)
    assert now.cpu_throttled_us == 700
    assert (now.pids, now.pids_limit, now.pids_refused) == (3, 32, 4)
    assert (now.io_read_bytes, now.io_written_bytes, now.frozen) == (5, 6, False)


def test_every_limit_is_read_in_both_versions(box: Cgroup) -> None:
    assert dict(box.limits) == {
        "memory": 256 * M,
        "swap": 0,
        "cpu": 0.5,
        "weight": 100,
        "pids": 32,
        "io": (IoLimit("8:0", None, 8 * M),),
    }


def test_limits_have_one_text_in_both_versions(box: Cgroup) -> None:
    assert repr(box.limits) == (
        "Limits(memory=256 MiB, swap=0 bytes, cpu=0.5, weight=100, pids=32, "
        "io=IoLimit(write=8 MiB/s))"
    )


def test_what_is_returned_is_what_the_files_say(box: Cgroup) -> None:
    assert dict(box.limit(memory="1G", cpu=2, pids=None)) == {
        "memory": 1024 * M,
        "cpu": 2.0,
        "pids": None,
    }


def test_nothing_is_written_when_one_value_is_wrong(box: Cgroup) -> None:
    with pytest.raises(DocumentError):
        box.limit(memory="64M", pids=-1)
    assert box.read("memory") == 256 * M


def test_a_limit_that_is_not_named_stays(box: Cgroup) -> None:
    box.limit(pids=None)
    assert box.limits["memory"] == 256 * M


def test_who_is_in_it_is_sorted_and_never_0(box: Cgroup) -> None:
    assert box.pids() == (11, 12)


def test_the_version_of_a_file_decides_its_text(box: Cgroup) -> None:
    assert box.read("cpu.stat").startswith(("usage_usec", "nr_periods"))  # type: ignore[union-attr]
    assert box.read("cgroup.procs").split()[0] in ("11", "12")  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["nonsense", "../cgroup.procs", "pids/pids.max"])
def test_what_is_no_file_of_a_cgroup_is_refused(box: Cgroup, name: str) -> None:
    with pytest.raises(DocumentError, match="no limit and no file"):
        box.read(name)


def test_the_text_of_a_reading_has_every_number(box: Cgroup) -> None:
    assert box.snapshot().text().splitlines() == [
        "              uses       limit",
        "memory     100 MiB     256 MiB  peak 200 MiB, 1 killed",
        "cpu         0.00 s    0.5 CPUs  throttled in 9 of 10 periods",
        "pids             3          32  4 forks refused",
        "io                              5 bytes read, 6 bytes written",
    ]


def test_a_repr_has_no_number(box: Cgroup) -> None:
    assert repr(box) == "Cgroup('box')"
    assert repr(box.snapshot()) == "CgroupReading(running)"


def test_two_readings_subtract_to_what_came_between(box: Cgroup) -> None:
    nothing = box.snapshot() - box.snapshot()
    assert isinstance(nothing, Change)
    assert (nothing.oom_kills, nothing.cpu_usage_us, nothing.cpus) == (0, 0, 0.0)
    assert nothing.text().splitlines()[1] == "0.00 CPUs, throttled in 0 of 0 periods"


def test_a_missing_controller_counts_nothing(tmp_path: Path) -> None:
    only_pids = Cgroup("box", Legacy((("pids", write(tmp_path, V1["pids"])),)))
    now = only_pids.snapshot()
    assert (now.pids, now.memory_bytes, now.memory_limit_bytes) == (3, 0, None)
    assert list(only_pids.limits) == ["pids"]


def test_a_missing_controller_cannot_limit(tmp_path: Path) -> None:
    only_pids = Cgroup("box", Legacy((("pids", write(tmp_path, V1["pids"])),)))
    with pytest.raises(HostError, match="controller 'memory'"):
        only_pids.limit(memory="64M")


def test_before_linux_5_19_the_peak_is_what_is_used(tmp_path: Path) -> None:
    older = {name: text for name, text in V2.items() if name != "memory.peak"}
    box = Cgroup("box", Unified(write(tmp_path, older)))
    assert box.snapshot().memory_peak_bytes == box.snapshot().memory_bytes == 100 * M


def test_a_group_that_is_gone_has_no_snapshot(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="ENOENT"):
        Cgroup("gone", Unified(HostPath(str(tmp_path)))).snapshot()


def test_freezing_writes_the_versions_word(tmp_path: Path) -> None:
    box = Cgroup("box", legacy(tmp_path))
    box.freeze()
    assert box.snapshot().frozen
    box.thaw()
    assert (tmp_path / "freezer/labkit-box/freezer.state").read_text() == "THAWED\n"


def test_the_notebook_is_never_attached(box: Cgroup) -> None:
    with pytest.raises(WrongProcess, match="not this process"):
        box.attach(os.getpid())


def test_attaching_writes_the_pid_into_every_directory(box: Cgroup) -> None:
    box.attach(4711)
    assert {
        Path(directory, "cgroup.procs").read_text()[:4]
        for directory in box.hierarchy.directories("box")
    } == {"4711"}
