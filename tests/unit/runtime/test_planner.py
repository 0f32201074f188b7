"""The planner's order: every stored reason holds, whatever the spec asks for."""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import DocumentError, LabError, OrderError
from labkit.host import CgroupLayout, Controller, Host, Layout, Privilege
from labkit.linux import CAP, HostPath, HostPid
from labkit.plan import Plan
from labkit.plan.serial import from_json, to_json
from labkit.plan.step import Before, FollowedBy, Rule, Step, Where, matches
from labkit.primitives.capabilities import (
    DropBounding,
    SetCapabilities,
    SetDumpable,
    SetNoNewPrivileges,
)
from labkit.primitives.cgroups.device_rules import AllowDevices, FilterDevices
from labkit.primitives.cgroups.place import places_of
from labkit.primitives.cgroups.steps import JoinCgroup
from labkit.primitives.clone import CatchUp, Clone, PutIntoCgroup
from labkit.primitives.idmap import (
    AskNewuidmap,
    BecomeRoot,
    DenySetgroups,
    WriteIdMaps,
)
from labkit.primitives.leftovers import CheckDirectory
from labkit.primitives.mount_inside import BindInside, MountInside
from labkit.primitives.namespaces import JoinNamespace, JoinNamespaces, Unshare
from labkit.primitives.program import FindProgram, RunProgram
from labkit.primitives.root import Chdir, PivotRoot
from labkit.primitives.seccomp import LoadSeccomp
from labkit.primitives.start_gate import AwaitStart
from labkit.primitives.user import SetUser
from labkit.runtime.planner import Situation, Target, create_plan, exec_plan
from labkit.runtime.spec import Spec
from tests.unit.runtime.test_spec import JSON, places

TREES = ("memory", "cpu", "cpuacct", "pids", "io", "devices", "freezer")
V1 = CgroupLayout(
    Layout.LEGACY,
    tuple(Controller(n, 1, HostPath(f"/cg/{n}"), HostPath(f"/cg/{n}")) for n in TREES),
)
V2 = CgroupLayout(
    Layout.UNIFIED,
    tuple(Controller(n, 2, HostPath("/cg"), HostPath("/cg")) for n in ("memory", "io")),
    HostPath("/cg"),
    HostPath("/cg"),
)
ROOT = Privilege(True, frozenset(CAP))
LEARNER = Privilege(False, frozenset(), frozenset(CAP))
GATE = AwaitStart(8, 9)


def spec(**more: Any) -> dict[str, Any]:
    document = json.loads(json.dumps(Spec.default().raw))
    document["process"].update(terminal=False)
    document["linux"].update(more)
    return document


def plan_of(
    document: dict[str, Any],
    layout: CgroupLayout = V1,
    privilege: Privilege = ROOT,
    **more: Any,
) -> Plan:
    places = places_of("/labkit-x", layout)
    there = Situation("x", HostPath("/bundle"), places, GATE, **more)
    host = Host("6.1", privilege, cgroups=layout)
    return create_plan(Spec.from_json(document), host, there)


def position(plan: Plan, kind: type[Step]) -> int:
    """Return where the first step of a kind stands."""
    return [isinstance(step, kind) for step in plan].index(True)


FILTER = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}],
}
MAPS = [{"containerID": 0, "hostID": 100_000, "size": 65_536}]


@pytest.mark.parametrize("layout", [V1, V2], ids=["v1", "v2"])
def test_the_order_is_right_in_both_versions_of_cgroups(layout: CgroupLayout) -> None:
    plan = plan_of(spec(seccomp=FILTER), layout)
    assert plan.why() == "the order is right"
    assert isinstance(plan.steps[-1], RunProgram)


KINDS = ("pid", "network", "ipc", "uts", "mount", "cgroup", "user", "time")


@settings(deadline=None)  # other tests may be running
@given(
    st.sets(st.sampled_from(KINDS)).map(sorted),
    st.booleans(),
    st.booleans(),
    st.sampled_from([V1, V2]),
    st.sampled_from([ROOT, LEARNER]),
)
def test_no_choice_of_the_specs_breaks_a_rule(
    kinds: list[str],
    nothing_new: bool,
    terminal: bool,
    layout: CgroupLayout,
    privilege: Privilege,
) -> None:
    document = spec(
        namespaces=[{"type": kind} for kind in kinds],
        uidMappings=MAPS,
        gidMappings=MAPS,
        seccomp=FILTER,
    )
    document["process"].update(noNewPrivileges=nothing_new, terminal=terminal)
    try:
        plan = plan_of(document, layout, privilege, console_fd=7)
    except DocumentError:
        # A name without a UTS namespace, mounts without a mount namespace.
        assert "uts" not in kinds or "mount" not in kinds
        return
    assert plan.why() == "the order is right"
    assert from_json(json.loads(json.dumps(to_json(plan)))) == plan


def test_privileges_go_down_before_the_wait_and_the_filter_comes_last() -> None:
    plan = plan_of(spec(seccomp=FILTER))
    order = [DropBounding, SetUser, SetCapabilities, SetNoNewPrivileges, FindProgram,
             AwaitStart, LoadSeccomp, RunProgram]  # fmt: skip
    places = [position(plan, kind) for kind in order]
    assert places == sorted(places)


def test_a_filter_without_no_new_privileges_is_loaded_while_root_still_may() -> None:
    document = spec(seccomp=FILTER)
    document["process"]["noNewPrivileges"] = False
    plan = plan_of(document)
    assert position(plan, LoadSeccomp) < position(plan, DropBounding)
    assert len([step for step in plan if isinstance(step, LoadSeccomp)]) == 1


def test_in_v2_it_is_born_in_its_cgroup_and_in_v1_it_moves_itself_once() -> None:
    v1, v2 = plan_of(spec()), plan_of(spec(), V2)
    clone = v2.steps[position(v2, Clone)]
    assert isinstance(clone, Clone)
    assert clone.cgroup == "/cg/labkit-x"
    moves = (JoinCgroup, PutIntoCgroup)
    assert not any(isinstance(step, moves) for step in v2)
    assert [step.file for step in v1 if isinstance(step, moves)] == ["tasks"]
    assert any(isinstance(step, AllowDevices) for step in v1)
    assert any(isinstance(step, FilterDevices) for step in v2)


def test_where_it_may_not_move_itself_the_outside_does() -> None:
    joined = [{"type": "mount", "path": "/proc/7/ns/mnt"}, {"type": "uts"}]
    own = [{"type": "mount"}, {"type": "uts"}, {"type": "user"}]
    for kinds in (joined, own):
        plan = plan_of(spec(namespaces=kinds, uidMappings=MAPS, gidMappings=MAPS))
        assert not any(isinstance(step, JoinCgroup) for step in plan)
        assert position(plan, Clone) < position(plan, PutIntoCgroup)


def test_a_cgroup_namespace_comes_after_the_move_and_before_its_mount() -> None:
    plan = plan_of(spec())
    assert position(plan, JoinCgroup) < position(plan, Unshare)
    kinds = [{"type": kind} for kind in ("pid", "uts", "mount", "user", "cgroup")]
    plan = plan_of(spec(namespaces=kinds, uidMappings=MAPS, gidMappings=MAPS))
    mount = next(
        n for n, step in enumerate(plan)
        if isinstance(step, MountInside) and step.target == "/sys/fs/cgroup"
    )  # fmt: skip
    assert position(plan, CatchUp) < position(plan, Unshare) < mount


def test_namespaces_that_are_joined_come_before_new_ones_and_mount_last() -> None:
    rows = [
        {"type": "mount", "path": "/proc/7/ns/mnt"},
        {"type": "user", "path": "/proc/7/ns/user"},
        {"type": "network", "path": "/proc/7/ns/net"},
        {"type": "pid"},
        {"type": "uts"},
    ]
    plan = plan_of(spec(namespaces=rows, uidMappings=MAPS, gidMappings=MAPS))
    joined = [step.kind for step in plan if isinstance(step, JoinNamespace)]
    assert joined == ["user", "network", "mount"]
    assert position(plan, JoinNamespace) < position(plan, Clone)


def test_root_an_ordinary_user_and_ranges_are_plans_of_the_same_parts() -> None:
    own = [{"containerID": 0, "hostID": 1000, "size": 1}]
    kinds = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "user")]
    root, ranges, single = (
        plan_of(spec(namespaces=kinds, uidMappings=maps, gidMappings=maps), V2, who)
        for maps, who in ((MAPS, ROOT), (own + MAPS, LEARNER), (own, LEARNER))
    )
    assert any(isinstance(step, WriteIdMaps) for step in root)
    assert any(isinstance(step, AskNewuidmap) for step in ranges)
    assert any(isinstance(step, DenySetgroups) for step in single)
    for other in (ranges, single):
        differ = {type(step) for step in other - root}
        assert differ <= {AskNewuidmap, DenySetgroups, WriteIdMaps, BecomeRoot, SetUser}
        assert differ


def test_a_limit_without_a_cgroup_stays_visible_in_the_plan() -> None:
    document = Spec.from_json(spec(resources={"pids": {"limit": 5}}))
    host = Host("6.1", ROOT, cgroups=V1)
    plan = create_plan(document, host, Situation("x", HostPath("/bundle")))
    assert "limit not applied: it has no cgroup of its own (pids_limit)" in plan.text()
    assert "no cgroup, so none at /sys/fs/cgroup" in plan.text()


def test_devices_are_made_by_root_and_bound_for_others() -> None:
    kinds = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "user")]
    plan = plan_of(spec(namespaces=kinds, uidMappings=MAPS, gidMappings=MAPS))
    bound = {step.source for step in plan if isinstance(step, BindInside)}
    assert "/dev/null" in bound


def test_nothing_is_looked_into_before_it_is_inside() -> None:
    document = Spec.from_json(spec())
    process = document.process
    assert process is not None
    host = Host("6.1", ROOT, cgroups=V1)
    target = Target(HostPid(7), places_of("/labkit-x", V1))
    plan = exec_plan(process, document, host, target)
    assert position(plan, SetDumpable) < position(plan, JoinNamespaces)
    assert position(plan, JoinCgroup) < position(plan, JoinNamespaces)
    assert plan.why() == "the order is right"
    assert not any(isinstance(step, (PivotRoot, MountInside)) for step in plan)


def test_before_it_joins_somebodys_namespace_nobody_can_look_into_it() -> None:
    rows = [
        {"type": "pid", "path": "/proc/7/ns/pid"},
        {"type": "mount"},
        {"type": "uts"},
    ]
    plan = plan_of(spec(namespaces=rows))
    assert position(plan, SetDumpable) < position(plan, JoinNamespace)
    alone = plan_of(spec())
    assert position(alone, Clone) < position(alone, SetDumpable)


def test_the_working_directory_is_checked_after_it_was_entered() -> None:
    plan = plan_of(spec())
    last = max(n for n, step in enumerate(plan) if isinstance(step, Chdir))
    assert last == position(plan, CheckDirectory) - 1


def test_only_outside_steps_come_before_the_inside_is_there() -> None:
    plan = plan_of(spec())
    before = itertools.takewhile(lambda step: not isinstance(step, Clone), plan)
    assert {step.where for step in before} == {Where.OUTSIDE}


REFUSED = {
    "no program": lambda d: d["process"].update(args=[]),
    "an unknown limit": lambda d: d["process"].update(
        rlimits=[{"type": "RLIMIT_FUN", "soft": 1, "hard": 1}]
    ),
    "an unknown scheduler": lambda d: d["process"].update(scheduler={"policy": "FUN"}),
    "an unknown disk class": lambda d: d["process"].update(ioPriority={"class": "FUN"}),
    "an unknown flag": lambda d: d["linux"].update(
        seccomp={"defaultAction": "SCMP_ACT_ALLOW", "flags": ["FUN"]}
    ),
    "an unknown action": lambda d: d["linux"].update(
        seccomp={"defaultAction": "SCMP_ACT_FUN"}
    ),
    "a cgroup above the root": lambda d: d["linux"].update(
        resources={"unified": {"../memory.max": "1"}}
    ),
    "an id map of one mount": lambda d: d["mounts"].append(
        {"destination": "/x", "type": "bind", "source": "/", "uidMappings": MAPS}
    ),
    "swap without a limit": lambda d: d["linux"].update(
        resources={"memory": {"swap": 5}}
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cant_be_planned_is_refused_before_anything_is_made(name: str) -> None:
    document = copy.deepcopy(spec())
    REFUSED[name](document)
    with pytest.raises(DocumentError):
        plan_of(document, V2)


def full_document() -> dict[str, Any]:
    """Return a document that asks for nearly everything."""
    document = spec(
        namespaces=[{"type": kind} for kind in KINDS],
        timeOffsets={"boottime": {"secs": 1}},
        uidMappings=MAPS,
        gidMappings=MAPS,
        seccomp=FILTER,
        sysctl={"net.ipv4.ip_forward": "1"},
        maskedPaths=["/proc/kcore"],
        readonlyPaths=["/proc/sys"],
        resources={"memory": {"limit": 1 << 20}},
    )
    document["domainname"] = "domain"
    document["process"].update(terminal=True, oomScoreAdj=1)
    return document


def everything() -> Plan:
    """Return a plan with a step of nearly every kind."""
    return plan_of(full_document(), console_fd=7)


FULL = full_document()


@settings(deadline=None)  # other tests may be running
@given(
    st.sampled_from(places(FULL)),
    JSON | st.sampled_from([-1, 2**70, "/..", "x" * 300, "a\nb", "\ud800", "CAP_KILL"]),
    st.sampled_from([V1, V2]),
    st.sampled_from([ROOT, LEARNER]),
)
def test_any_document_is_planned_or_refused(
    path: tuple[Any, ...], value: object, layout: CgroupLayout, who: Privilege
) -> None:
    crafted = copy.deepcopy(FULL)
    at: Any = crafted
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with contextlib.suppress(LabError):
        assert plan_of(crafted, layout, who, console_fd=7).text()


RULES = [
    (step, rule, other)
    for plan in (everything(), plan_of(spec(seccomp=FILTER)))
    for step in plan
    for rule in step.rules
    for other in plan
    if other is not step and matches(rule.other, other)
]


@pytest.mark.parametrize(
    ("step", "rule", "other"),
    {(type(s), r, type(o)): (s, r, o) for s, r, o in RULES}.values(),
    ids=lambda part: type(part).__name__,
)
def test_a_plan_that_breaks_a_rule_is_refused_with_its_reason(
    step: Step, rule: Rule, other: Step
) -> None:
    wrong = Plan(other, step) if isinstance(rule, Before) else Plan(step, other)
    if isinstance(rule, FollowedBy):
        wrong = Plan(other, step)
    assert rule.sentence(step) in wrong.why()
    with pytest.raises(OrderError):
        wrong.check()


def test_nearly_every_step_of_a_plan_says_why_it_stands_where_it_does() -> None:
    assert len(RULES) > 60
    reasons = everything().reasons()
    for words in ("proc shows the PID namespace", "the host's devices"):
        assert words in reasons
