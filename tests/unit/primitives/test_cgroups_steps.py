"""The steps of chapter 03 in a plan: their order, their words, their calls."""

from __future__ import annotations

import pytest

from labkit.errors import OrderError
from labkit.linux import CLONE, Recorder
from labkit.linux.views import HostPath
from labkit.plan import Plan, Step
from labkit.plan.events import Exit
from labkit.primitives.cgroups import JoinCgroup, LimitNotApplied, NoCgroup
from labkit.primitives.namespaces import Unshare
from labkit.primitives.root import Chdir, Chroot, PivotRoot

JOIN = JoinCgroup("box", (HostPath("/cg/memory/labkit-box"), HostPath("/cg/cpu/x")))


def test_joining_writes_0_into_each_directory() -> None:
    recorder = Recorder()
    JOIN.apply(recorder)
    assert [call.text for call in recorder.calls if call.name != "close"] == [
        'open("/cg/memory/labkit-box/cgroup.procs", O_WRONLY, 0644)',
        'write(3, "0")',
        'open("/cg/cpu/x/cgroup.procs", O_WRONLY, 0644)',
        'write(4, "0")',
    ]


@pytest.mark.parametrize(
    ("earlier", "reason"),
    [
        (Plan(Unshare(CLONE.NEWUSER | CLONE.NEWNS)), "the group isn't its own"),
        (Plan(Unshare(CLONE.NEWCGROUP)), "root of the cgroup namespace"),
        (Plan(Chroot("/box"), Chdir("/")), "the new root doesn't have"),
        (Plan(Unshare(CLONE.NEWNS), PivotRoot("/box")), "the new root doesn't"),
    ],
    ids=["user namespace", "cgroup namespace", "chroot", "pivot_root"],
)
def test_a_group_is_joined_before(earlier: Plan, reason: str) -> None:
    with pytest.raises(OrderError, match=reason):
        (earlier + JOIN).check()
    Plan(JOIN, earlier).check()


def test_namespaces_that_do_not_matter_may_come_first() -> None:
    Plan(Unshare(CLONE.NEWPID | CLONE.NEWNS), JOIN).check()


def test_a_step_shows_its_group_and_no_path() -> None:
    assert repr(JOIN) == "JoinCgroup('box')"
    assert JOIN.describe() == "join the cgroup box"


def test_without_a_group_the_plan_says_what_is_not_applied() -> None:
    box = NoCgroup("box")
    assert dict(box.limit(memory="256M", pids=32)) == {}
    plan = Plan(box.join())
    assert plan.text() == (
        " 1. limit not applied: no delegated cgroup (memory=256M, pids=32)"
    )
    assert plan.rehearse() == ()


def test_without_a_group_nobody_counts() -> None:
    with NoCgroup("box") as box:
        assert box.cause(Exit(None, "SIGKILL")) == (
            "killed by SIGKILL: no delegated cgroup, so nobody counted why"
        )


def test_both_kinds_of_step_can_be_told_apart() -> None:
    with_limits, without = Plan(JOIN), Plan(LimitNotApplied("no delegated cgroup"))
    only: tuple[Step, ...] = without - with_limits
    assert only == (LimitNotApplied("no delegated cgroup"),)
