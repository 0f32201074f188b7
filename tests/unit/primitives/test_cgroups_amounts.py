"""Sizes, CPUs and disks, as a learner writes them and as Linux reads them."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import DocumentError, HostError
from labkit.linux.views import HostPath
from labkit.primitives.cgroups.amounts import bytes_of, count_of, cpus_of, size_text
from labkit.primitives.cgroups.io_limit import IoLimit, disk_of


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (0, 0),
        (268435456, 268435456),
        ("256M", 256 * 1024**2),
        ("256 MiB", 256 * 1024**2),
        ("1.5g", 3 * 1024**3 // 2),
        ("64kb", 64 * 1024),
        ("4096", 4096),
    ],
)
def test_a_size_counts_in_powers_of_1024(written: object, meant: int) -> None:
    assert bytes_of(written) == meant


@pytest.mark.parametrize("wrong", ["12 elephants", "", "-1M", -1, True, 1.5, None, "M"])
def test_what_is_no_size_is_said_in_three_lines(wrong: object) -> None:
    with pytest.raises(DocumentError) as refused:
        bytes_of(wrong)
    value, cause, remedy = str(refused.value).splitlines()
    assert repr(wrong) in value
    assert "bytes" in cause
    assert remedy.startswith('try: give "256M"')


@given(st.integers(0, 2**50))
def test_a_size_for_people_is_right_to_four_digits(count: int) -> None:
    assert math.isclose(bytes_of(size_text(count).replace(" bytes", "")), count,
                        rel_tol=1e-3, abs_tol=1)  # fmt: skip


def test_half_a_cpu_is_a_number() -> None:
    assert cpus_of(0.5) == 0.5
    assert cpus_of(2) == 2.0


@pytest.mark.parametrize("wrong", [0, -1, 0.001, "half", True, math.nan])
def test_what_linux_cannot_give_is_no_number_of_cpus(wrong: object) -> None:
    with pytest.raises(DocumentError, match="no number of CPUs"):
        cpus_of(wrong)


@pytest.mark.parametrize("wrong", [-1, 11, 2.0, "3", True, None])
def test_a_count_is_a_whole_number_in_its_range(wrong: object) -> None:
    with pytest.raises(DocumentError, match="no whole number from 0 to 10"):
        count_of(wrong, 0, 10)


def disks_of(tmp_path: Path, device: int) -> Path:
    """A /sys/dev/block with one disk, and the device as a partition of it."""
    numbers = f"{os.major(device)}:{os.minor(device)}"
    disk = tmp_path / "devices" / "sda"
    (disk / "sda1").mkdir(parents=True)
    (disk / "dev").write_text("8:0\n")
    (disk / "sda1" / "dev").write_text(numbers + "\n")
    (disk / "sda1" / "partition").write_text("1\n")
    (tmp_path / "block").mkdir()
    (tmp_path / "block" / numbers).symlink_to(disk / "sda1")
    return tmp_path / "block"


def test_a_partition_leads_to_its_disk(tmp_path: Path) -> None:
    disks = disks_of(tmp_path, tmp_path.stat().st_dev)
    assert disk_of(HostPath(str(tmp_path)), str(disks)) == "8:0"


def test_a_path_without_a_disk_cannot_be_limited() -> None:
    with pytest.raises(HostError, match="no disk behind it"):
        IoLimit.on("/proc", write="8M")


def test_an_io_limit_shows_no_device_numbers() -> None:
    assert repr(IoLimit("254:0", write=8 * 1024**2)) == "IoLimit(write=8 MiB/s)"
    assert repr(IoLimit("254:0")) == "IoLimit(no limit)"
