"""Several steps can be one step of a plan; a plan tells the reasons of its order."""

from __future__ import annotations

import pytest

from labkit.errors import OrderError
from labkit.linux import CLONE
from labkit.plan import Plan
from labkit.plan.together import Together
from labkit.primitives.mounts import MakePrivate, Mask, MountFilesystem
from labkit.primitives.namespaces import SetHostname, Unshare
from labkit.primitives.process import Fork
from labkit.primitives.root import Chdir, PivotRoot

OWN = Plan(Unshare(CLONE.NEWNS), MakePrivate("/"))
VIEWS = Together.of(
    "the views", MountFilesystem("proc", "/proc"), MountFilesystem("sysfs", "/sys")
)


def test_it_is_one_line_of_a_plan() -> None:
    assert Plan(VIEWS).text() == " 1. the views"
    assert repr(VIEWS) == "Together('the views', 2 steps)"


def test_it_makes_the_calls_of_all_its_steps_in_their_order() -> None:
    flat = Plan(*VIEWS.steps).rehearse()
    assert Plan(VIEWS).rehearse() == flat
    assert [call.name for call in flat] == ["mount", "mount"]


def test_it_takes_whole_plans() -> None:
    both = Together.of("all", OWN, VIEWS)
    assert both.steps == (*OWN.steps, VIEWS)
    assert both.parts == (*OWN.steps, *VIEWS.steps)


def test_the_rules_of_its_steps_hold_for_it() -> None:
    masks = Together.of("masks", Chdir("/"), Mask("/proc/kcore"))
    with pytest.raises(OrderError, match="Mask must come after PivotRoot"):
        (OWN + masks + PivotRoot("/box")).check()
    (OWN + PivotRoot("/box") + masks).check()


def test_it_does_what_one_of_its_steps_does() -> None:
    own = Together.of("mounts of its own", *OWN)
    Plan(own, MountFilesystem("proc", "/proc")).check()
    assert "PivotRoot needs Unshare" in Plan(VIEWS, PivotRoot("/box")).why()
    assert "PivotRoot" not in Plan(own, PivotRoot("/box")).why()


def test_a_plan_tells_why_its_steps_stand_where_they_do() -> None:
    plan = OWN + Plan(Fork(), MountFilesystem("proc", "/proc"))
    told = plan.reasons().splitlines()
    proc = told.index(" 4. mount proc on /proc")
    assert "      must come after Fork: proc shows the PID namespace" in told[proc + 3]
    assert told[2].startswith("      needs Unshare(CLONE_NEWNS) before it: ")


def test_a_reason_is_told_once_and_only_of_steps_that_are_there() -> None:
    told = (OWN + VIEWS + MountFilesystem("tmpfs", "/tmp")).reasons()
    assert told.count("needs Unshare(CLONE_NEWNS) before it: without") == 1
    assert "Fork" not in told
    assert Plan(SetHostname("box")).reasons() == " 1. set the host name to box"
