"""cgroup v2 for real: what it can do where it has no, or hardly a, controller.

On a hybrid machine the v2 tree stands beside the v1 ones: groups are made, joined,
frozen and killed there as anywhere. Rules of order among groups need one controller.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import Busy, NoSuchPath, NotSupported
from labkit.host import CgroupLayout, Controller, Host, Layout, Privilege
from labkit.linux import Linux
from labkit.linux.views import HostPath
from labkit.plan import Plan
from labkit.primitives.cgroups import Cgroup, Unified, make_room
from labkit.primitives.cgroups.hierarchy import LIMITING, names_in
from labkit.primitives.cgroups.leaf import move_to_leaf
from labkit.primitives.process import Exec, Fork
from tests.kernel.ordinary_user import NOBODY, as_ordinary_user
from tests.support.skips import need

NAME = f"test-v2-{os.getpid()}"
LINUX = Linux()


@pytest.fixture
def tree(host: Host) -> HostPath:
    """The v2 tree, where this user may make groups."""
    top = host.cgroups.unified
    writable = top is not None and os.access(top, os.W_OK, effective_ids=True)
    need("cgroup-v2", writable, "there is no v2 tree that is ours to change")
    assert top is not None
    return top


@pytest.fixture
def box(tree: HostPath) -> Iterator[Cgroup]:
    """A v2 group without controllers."""
    hierarchy = Unified(tree)
    hierarchy.make(LINUX, NAME)
    with Cgroup(NAME, hierarchy) as made:
        yield made


def test_a_group_is_one_directory(box: Cgroup, tree: HostPath) -> None:
    assert box.path() == box.path("memory") == f"{tree}/labkit-{NAME}"
    assert box.read("cgroup.type") == "domain"


def test_a_process_joins_by_one_write(box: Cgroup) -> None:
    with Plan(box.join(), Fork()).fork() as child:
        event = child.next()
        assert [call.name for call in event.calls] == ["open", "write", "close"]
        child.run()
        assert child.pid in box.pids()


def test_a_frozen_group_computes_nothing(box: Cgroup) -> None:
    with Plan(box.join(), Exec(["sh", "-c", "while :; do :; done"])).fork() as child:
        child.run()
        time.sleep(0.1)
        box.freeze()
        assert box.snapshot().frozen
        used = box.snapshot().cpu_usage_us
        time.sleep(0.2)
        assert used > 0
        assert box.snapshot().cpu_usage_us == used
        box.thaw()
        assert not box.snapshot().frozen


def test_one_write_kills_the_frozen_too(box: Cgroup) -> None:
    with Plan(box.join(), Exec(["sleep", "60"])).fork() as child:
        child.run()
        box.freeze()
        box.kill()
        assert child.wait(10).signal == "SIGKILL"
    assert box.pids() == ()


def test_before_linux_5_14_each_is_killed_by_a_signal(
    box: Cgroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file = Linux.write_file

    def without_kill(linux: Linux, path: str, text: str) -> None:
        if path.endswith("cgroup.kill"):
            raise NoSuchPath(f'open("{path}")', 2)
        write_file(linux, path, text)

    monkeypatch.setattr(Linux, "write_file", without_kill)
    with Plan(box.join(), Exec(["sleep", "60"])).fork() as child:
        child.run()
        box.kill()
        assert child.wait(10).signal == "SIGKILL"


def test_groups_inside_go_with_it(box: Cgroup, tree: HostPath) -> None:
    os.makedirs(f"{box.path()}/inner/innermost")
    with Plan().fork() as child:
        LINUX.write_file(f"{box.path()}/inner/innermost/cgroup.procs", str(child.pid))
        assert box.pids() == (child.pid,)
        box.remove()
        assert child.wait(10).signal == "SIGKILL"
    assert NAME not in names_in(box.hierarchy)


def test_moving_into_an_ordinary_users_group_takes_more_than_owning_it(
    box: Cgroup, as_root: None
) -> None:
    for file in ("", "cgroup.procs"):
        os.chown(f"{box.path()}/{file}", NOBODY, NOBODY)
    said = as_ordinary_user(lambda: LINUX.write_file(f"{box.path()}/cgroup.procs", "0"))
    assert "EACCES\na move needs write permission in the group that is above" in said


# with a controller


# The rules below are for these; processes may compete with children for the others.
DOMAIN_CONTROLLERS = ("memory", "io", "hugetlb")


@pytest.fixture
def controller(tree: HostPath) -> Iterator[str]:
    """A controller that the v2 tree hands down; afterwards it is as it was."""
    switch = f"{tree}/cgroup.subtree_control"
    offered = LINUX.read_file(f"{tree}/cgroup.controllers").split()
    handed = LINUX.read_file(switch).split()
    usable = [one for one in DOMAIN_CONTROLLERS if one in offered]
    need("cgroup-v2", usable, f"v2 has none of {', '.join(DOMAIN_CONTROLLERS)}")
    yield usable[0]
    if usable[0] not in handed and usable[0] in LINUX.read_file(switch).split():
        LINUX.write_file(switch, f"-{usable[0]}")


@pytest.fixture
def scope(tree: HostPath, controller: str) -> Iterator[HostPath]:
    """A group that stands for what systemd gives to an ordinary user."""
    hierarchy = Unified(tree, (controller,))
    hierarchy.make(LINUX, f"{NAME}-scope")
    with Cgroup(f"{NAME}-scope", hierarchy) as made:
        yield made.path()


def test_a_group_has_the_controllers_that_its_parent_hands_down(
    scope: HostPath, controller: str
) -> None:
    hierarchy = Unified(scope, (controller,))
    hierarchy.make(LINUX, "box")
    assert controller in Cgroup("box", hierarchy).read("cgroup.controllers").split()  # type: ignore[union-attr]


def test_a_controller_that_the_parent_lacks_is_named(
    scope: HostPath, controller: str
) -> None:
    without = Unified(scope)
    without.make(LINUX, "without")
    below = Unified(without.directories("without")[0], (controller,))
    with pytest.raises(NoSuchPath, match="this controller isn't available here"):
        below.make(LINUX, "box")


def test_a_parent_that_holds_processes_hands_nothing_down(
    scope: HostPath, controller: str
) -> None:
    with Plan().fork() as child:
        LINUX.write_file(f"{scope}/cgroup.procs", str(child.pid))
        with pytest.raises(Busy) as refused:
            Unified(scope, (controller,)).make(LINUX, "box")
    _, meaning, remedy = str(refused.value).splitlines()
    assert "may not hand controllers to children" in meaning
    assert "make_room(host)" in remedy


def test_with_its_processes_in_a_leaf_a_parent_hands_down(
    scope: HostPath, controller: str
) -> None:
    with Plan().fork() as child:
        LINUX.write_file(f"{scope}/cgroup.procs", str(child.pid))
        assert move_to_leaf(LINUX, scope) == 1
        assert Path(scope, "leaf/cgroup.procs").read_text() == f"{child.pid}\n"
        Unified(scope, (controller,)).make(LINUX, "box")
        os.kill(child.pid, signal.SIGKILL)


def test_the_lab_makes_room_for_itself(scope: HostPath, controller: str) -> None:
    need("cgroup-v2", controller in LIMITING, "v2 has no controller here that limits")
    row = Controller(controller, 2, scope, scope)
    layout = CgroupLayout(Layout.UNIFIED, (row,), scope, scope, crowded=True)
    host = Host("6.1.0", Privilege(root=False), cgroups=layout)
    with Plan().fork() as child:
        LINUX.write_file(f"{scope}/cgroup.procs", str(child.pid))
        assert make_room(host).startswith("moved 1 processes into ")
        assert Path(scope, "leaf/cgroup.controllers").read_text() == f"{controller}\n"
        assert make_room(host) == ""


def test_a_process_joins_no_group_that_hands_controllers_down(
    scope: HostPath, controller: str
) -> None:
    Unified(scope, (controller,)).make(LINUX, "box")
    with (
        Plan().fork() as child,
        pytest.raises(Busy, match="can't hold processes itself"),
    ):
        LINUX.write_file(f"{scope}/cgroup.procs", str(child.pid))


def test_a_threaded_parent_is_made_an_ordinary_one_again(
    tree: HostPath, scope: HostPath
) -> None:
    offered = LINUX.read_file(f"{tree}/cgroup.subtree_control").split()
    need("cgroup-v2", "pids" in offered, "the v2 tree doesn't hand pids down")
    with Plan().fork() as child:
        LINUX.write_file(f"{scope}/cgroup.procs", str(child.pid))
        threaded = Unified(scope, ("pids",))
        threaded.make(LINUX, "box")
        with pytest.raises(NotSupported, match="EOPNOTSUPP\nthe group above holds"):
            LINUX.write_file(f"{scope}/labkit-box/cgroup.procs", str(child.pid))
        LINUX.rmdir(f"{scope}/labkit-box")
        assert move_to_leaf(LINUX, scope) == 1
        threaded.make(LINUX, "box")
        LINUX.write_file(f"{scope}/labkit-box/cgroup.procs", str(child.pid))


def test_a_cpuset_binds_who_is_in_it(tree: HostPath) -> None:
    offered = LINUX.read_file(f"{tree}/cgroup.controllers").split()
    need("cgroup-v2", "cpuset" in offered, "v2 has no cpuset here")
    hierarchy, last = Unified(tree, ("cpuset",)), max(os.sched_getaffinity(0))
    hierarchy.make(LINUX, NAME)
    with Cgroup(NAME, hierarchy) as box:
        LINUX.write_file(f"{box.path()}/cpuset.cpus", str(last))
        with Plan(box.join(), Exec(["sleep", "60"])).fork() as child:
            child.run()
            assert os.sched_getaffinity(child.pid) == {last}


def test_a_group_counts_how_long_its_processes_wait_for_a_cpu(box: Cgroup) -> None:
    """PSI: two that compute on one CPU are in each other's way."""
    file = f"{box.path()}/cpu.pressure"
    need("pressure", os.path.exists(file), "this Linux counts no pressure")
    first = min(os.sched_getaffinity(0))
    both = f"taskset -c {first} sh -c 'while :; do :; done & while :; do :; done'"

    def waited_us() -> int:
        return int(LINUX.read_file(file).splitlines()[0].rpartition("=")[2])

    with Plan(box.join(), Exec(["sh", "-c", both])).fork() as child:
        before = waited_us()
        child.run()
        time.sleep(1)
        assert waited_us() - before > 200_000
        box.kill()
