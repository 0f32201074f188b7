"""Which hierarchy a machine has, and where a group's directories are in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import AlreadyThere, HostError
from labkit.host import CgroupLayout, Controller, Host, Layout, Privilege
from labkit.host.cgroup_layout import read_layout
from labkit.linux import Linux, Recorder
from labkit.linux.views import HostPath
from labkit.primitives.cgroups.hierarchy import (
    Legacy,
    Unified,
    controller_of,
    hierarchy_from_json,
    hierarchy_of,
    names_in,
)
from labkit.primitives.cgroups.leaf import make_room
from tests.unit.machines import unified, version_1

SCOPE = "/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope"
USUAL = "cpuset cpu io memory pids"


def host_of(root: Path, *, privileged: bool = True) -> Host:
    """A host whose cgroups are those of a fixture."""
    layout = read_layout(HostPath(str(root)), privileged=privileged)
    return Host("6.1.0", Privilege(root=privileged), cgroups=layout)


def v2(parent: str) -> Host:
    """A host with cgroup v2 and all controllers below one parent."""
    rows = [Controller(n, 2, HostPath("/cg"), HostPath(parent)) for n in USUAL.split()]
    return Host(
        "6.1.0", Privilege(False), cgroups=CgroupLayout(Layout.UNIFIED, tuple(rows))
    )


# which one


def test_unified_puts_a_group_right_below_the_tree_for_root(tmp_path: Path) -> None:
    chosen = hierarchy_of(host_of(unified(tmp_path, "/", USUAL)))
    tree = f"{tmp_path}/sys/fs/cgroup"
    assert chosen == Unified(HostPath(tree), ("cpu", "io", "memory", "pids"))
    assert chosen.directories("box") == (f"{tree}/labkit-box",)


def test_unified_puts_an_ordinary_users_group_below_the_own_one(tmp_path: Path) -> None:
    chosen = hierarchy_of(host_of(unified(tmp_path, SCOPE, USUAL), privileged=False))
    assert chosen.directories("box")[0].endswith("/run-1.scope/labkit-box")


def test_a_lab_that_sits_in_its_leaf_makes_groups_beside_it() -> None:
    assert hierarchy_of(v2("/cg/run-1.scope/leaf")).directories("box") == (
        "/cg/run-1.scope/labkit-box",
    )


@pytest.mark.parametrize("beside", [True, False], ids=["hybrid", "legacy"])
def test_v1_is_chosen_where_the_controllers_are(tmp_path: Path, beside: bool) -> None:
    chosen = hierarchy_of(host_of(version_1(tmp_path, beside_unified=beside)))
    assert isinstance(chosen, Legacy)
    names = [name for name, _ in chosen.parents]
    assert names[:4] == ["memory", "cpu", "io", "cpuacct"]


def test_v1_has_one_directory_where_two_controllers_share_a_tree(
    tmp_path: Path,
) -> None:
    chosen = hierarchy_of(host_of(version_1(tmp_path, beside_unified=True)))
    tree = f"{tmp_path}/sys/fs/cgroup"
    assert chosen.directories("box")[:3] == (
        f"{tree}/memory/labkit-box",
        f"{tree}/cpu,cpuacct/labkit-box",
        f"{tree}/blkio/labkit-box",
    )
    assert chosen.directory("box", "cpuacct") == chosen.directory("box", "cpu")
    assert chosen.directory("box", "pids") is None


def test_without_a_cgroup_the_doctors_line_is_the_remedy() -> None:
    with pytest.raises(HostError) as refused:
        hierarchy_of(Host("6.1.0", Privilege(False)))
    assert "none here is yours" in str(refused.value).splitlines()[0]
    assert refused.value.hint


def test_a_controller_that_limits_nothing_is_not_enough() -> None:
    freezer = Controller("freezer", 2, HostPath("/cg"), HostPath("/cg"))
    layout = CgroupLayout(Layout.UNIFIED, (freezer,))
    with pytest.raises(HostError):
        hierarchy_of(Host("6.1.0", Privilege(False), cgroups=layout))


@pytest.mark.parametrize(
    "hierarchy",
    [
        Unified(HostPath("/cg"), ("memory", "pids")),
        Legacy((("memory", HostPath("/cg/memory")), ("io", HostPath("/cg/blkio")))),
    ],
    ids=["unified", "legacy"],
)
def test_a_hierarchy_comes_back_from_a_record(hierarchy: Unified | Legacy) -> None:
    assert hierarchy_from_json(hierarchy.to_json()) == hierarchy


@pytest.mark.parametrize(
    ("file", "controller"),
    [("memory.max", "memory"), ("blkio.weight", "io"), ("cpuacct.usage", "cpuacct")],
)
def test_a_files_name_tells_its_controller(file: str, controller: str) -> None:
    assert controller_of(file) == controller


# how one is made


def test_unified_hands_down_only_what_is_missing() -> None:
    switch = "/cg/cgroup.subtree_control"
    recorder = Recorder(files={switch: "memory pids\n"})
    Unified(HostPath("/cg"), ("cpu", "memory")).make(recorder, "box")
    made = [call.text for call in recorder.calls if call.name in ("write", "mkdir")]
    assert made == ['write(4, "+cpu")', 'mkdir("/cg/labkit-box", 0755)']


def test_unified_asks_for_all_controllers_at_once() -> None:
    recorder = Recorder()
    Unified(HostPath("/cg"), ("cpu", "memory")).make(recorder, "box")
    written = [call.text for call in recorder.calls if call.name == "write"]
    assert written == ['write(4, "+cpu +memory")']


def test_unified_without_controllers_asks_for_none() -> None:
    recorder = Recorder()
    Unified(HostPath("/cg")).make(recorder, "box")
    assert [call.name for call in recorder.calls] == ["mkdir"]


def legacy(tmp_path: Path) -> Legacy:
    """Two trees of v1 as plain directories."""
    for name in ("memory", "cpu"):
        (tmp_path / name).mkdir()
    pairs = ((n, HostPath(str(tmp_path / n))) for n in ("memory", "cpu"))
    return Legacy(tuple(pairs))


def test_legacy_makes_a_directory_in_every_tree(tmp_path: Path) -> None:
    hierarchy = legacy(tmp_path)
    hierarchy.make(Linux(), "box")
    assert all(Path(directory).is_dir() for directory in hierarchy.directories("box"))
    assert names_in(hierarchy) == ("box",)


def test_legacy_makes_all_or_nothing(tmp_path: Path) -> None:
    hierarchy = legacy(tmp_path)
    (tmp_path / "cpu" / "labkit-box").mkdir()
    with pytest.raises(AlreadyThere):
        hierarchy.make(Linux(), "box")
    assert not (tmp_path / "memory" / "labkit-box").exists()


def test_only_names_with_the_prefix_are_ours(tmp_path: Path) -> None:
    hierarchy = legacy(tmp_path)
    (tmp_path / "cpu" / "labkit-old").mkdir()
    (tmp_path / "memory" / "somebody-elses").mkdir()
    assert names_in(hierarchy) == ("old",)


def test_nobody_is_moved_where_no_room_is_needed(tmp_path: Path) -> None:
    assert make_room(host_of(version_1(tmp_path, beside_unified=True))) == ""
    assert make_room(v2("/cg/empty")) == ""
