"""The knob table: what is written, and what is read back, in both versions."""

from __future__ import annotations

import pytest

from labkit.errors import DocumentError
from labkit.primitives.cgroups.forms import Value
from labkit.primitives.cgroups.io_limit import IoLimit
from labkit.primitives.cgroups.knobs import COUNTERS, FREEZE, LIMITS, Knob, knob, table
from labkit.primitives.cgroups.reading import CgroupReading

M = 1024**2
WRITE = IoLimit("8:0", None, 8 * M)
UNLIMITED_V1 = "9223372036854771712"  # what memory.limit_in_bytes shows for none
IO_MAX = "8:0 rbps=max wbps=8388608 riops=max wiops=max"

# fmt: off
# knob, asked, v2's texts, v1's texts
WRITTEN = [
    ("memory", "256M", ("268435456",),                ("268435456",)),
    ("memory", None,   ("max",),                      ("-1",)),
    ("swap",   0,      ("0",),                        ("0",)),
    ("swap",   None,   ("max",),                      ("60",)),
    ("cpu",    0.5,    ("50000 100000",),             ("100000", "50000")),
    ("cpu",    None,   ("max 100000",),               ("100000", "-1")),
    ("weight", 50,     ("50",),                       ("512",)),
    ("weight", None,   ("100",),                      ("1024",)),
    ("pids",   32,     ("32",),                       ("32",)),
    ("pids",   None,   ("max",),                      ("max",)),
    ("io",     WRITE,  ("8:0 rbps=max wbps=8388608",), ("8:0 0", "8:0 8388608")),
    ("freeze", True,   ("1",),                        ("FROZEN",)),
    ("freeze", False,  ("0",),                        ("THAWED",)),
]
# knob, v2's texts, v1's texts, value
READ = [
    ("memory", ("268435456",),     ("268435456",),         256 * M),
    ("memory", ("max",),           (UNLIMITED_V1,),        None),
    ("swap",   ("0",),             ("0",),                 0),
    ("swap",   ("max",),           ("60",),                None),
    ("cpu",    ("50000 100000",),  ("100000", "50000"),    0.5),
    ("cpu",    ("max 100000",),    ("100000", "-1"),       None),
    ("weight", ("50",),            ("512",),               50),
    ("pids",   ("max",),           ("max",),               None),
    ("io",     (IO_MAX,),          ("", "8:0 8388608"),    (WRITE,)),
    ("io",     ("",),              ("", ""),               ()),
    ("freeze", ("1",),             ("FROZEN",),            True),
    ("oom_kills",        ("max 35\noom 1\noom_kill 2\noom_group_kill 0",),
                         ("oom_kill_disable 0\nunder_oom 0\noom_kill 2",),        2),
    ("cpu_usage_us",     ("usage_usec 7\nuser_usec 6",),  ("7999",),              7),
    ("cpu_throttled_us", ("nr_throttled 1\nthrottled_usec 5",),
                         ("nr_throttled 1\nthrottled_time 5000",),                5),
    ("pids_refused",     ("max 3",),                      ("max 3",),             3),
    ("io_written_bytes", ("8:0 rbytes=1 wbytes=2 rios=9\n8:16 rbytes=1 wbytes=3",),
                         ("8:0 Read 1\n8:0 Write 2\n8:16 Write 3\nTotal 9",),     5),
    ("frozen",           ("populated 1\nfrozen 1",),      ("FROZEN",),           True),
    ("frozen",           ("populated 1\nfrozen 0",),      ("FREEZING",),         False),
]
# fmt: on


@pytest.mark.parametrize(("name", "asked", "v2", "v1"), WRITTEN)
def test_a_value_is_written_in_each_versions_words(
    name: str, asked: object, v2: tuple[str, ...], v1: tuple[str, ...]
) -> None:
    row = knob(name)
    assert row.in_v2().form.encode(asked) == v2
    assert row.in_v1().form.encode(asked) == v1


@pytest.mark.parametrize(("name", "v2", "v1", "value"), READ)
def test_both_versions_words_mean_the_same_value(
    name: str, v2: tuple[str, ...], v1: tuple[str, ...], value: Value
) -> None:
    row = knob(name)
    assert row.in_v2().form.decode(*v2) == value
    assert row.in_v1().form.decode(*v1) == value


@pytest.mark.parametrize("row", [*LIMITS, FREEZE, *COUNTERS], ids=lambda row: row.name)
def test_every_knob_has_files_in_both_versions(row: Knob) -> None:
    assert row.in_v2().files
    assert row.in_v1().files


@pytest.mark.parametrize("row", LIMITS, ids=lambda row: row.name)
def test_a_limit_has_as_many_texts_as_files(row: Knob) -> None:
    asked = {"io": WRITE, "swap": 0}.get(row.name, 1)
    for column in (row.in_v2(), row.in_v1()):
        assert len(column.form.encode(asked)) == len(column.files)


def test_every_counter_is_a_field_of_a_reading() -> None:
    assert {row.name for row in COUNTERS} < set(CgroupReading.__slots__)


def test_braces_stand_for_two_files() -> None:
    assert knob("cpu").in_v1().files == ("cpu.cfs_period_us", "cpu.cfs_quota_us")


def test_a_weight_keeps_its_ratio_in_v1() -> None:
    form = knob("weight").in_v1().form
    assert [form.decode(*form.encode(weight)) for weight in (1, 100, 300, 10_000)] == [
        1, 100, 300, 10_000,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["memry", "", "cgroup.kill"])
def test_an_unknown_knob_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(DocumentError, match="one of memory, swap, cpu"):
        knob(name)


def test_a_counter_cannot_be_set() -> None:
    with pytest.raises(DocumentError, match="only read"):
        knob("oom_kills").in_v2().form.encode(0)


def test_v1_takes_no_swap_limit_but_none_at_all() -> None:
    with pytest.raises(DocumentError, match="memory and swap together"):
        knob("swap").in_v1().form.encode("64M")


@pytest.mark.parametrize("wrong", ["8M", 8, None])
def test_an_io_limit_needs_a_disk(wrong: object) -> None:
    with pytest.raises(DocumentError, match="needs a disk"):
        knob("io").in_v2().form.encode(wrong)


def test_the_table_shows_both_columns_side_by_side() -> None:
    lines = table().splitlines()
    assert lines[1].split() == ["memory", "memory.max", "memory.limit_in_bytes"]
    assert repr(table()) == table()
