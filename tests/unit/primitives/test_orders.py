"""Every order rule of every primitive refuses the order that it is about."""

from __future__ import annotations

import pytest

from labkit.errors import OrderError
from labkit.linux import CLONE
from labkit.plan import After, Before, Plan, Step
from labkit.plan.step import Rule
from labkit.primitives.devices import BindDevice
from labkit.primitives.mounts import (
    BindMount,
    MakePrivate,
    Mask,
    MountFilesystem,
    ReadonlyPath,
)
from labkit.primitives.namespaces import SetHostname, Unshare
from labkit.primitives.overlay_mount import MountOverlay
from labkit.primitives.process import Fork
from labkit.primitives.root import Chdir, Chroot, PivotRoot

RULED: tuple[Step, ...] = (
    MakePrivate("/"),
    BindMount("/a", "/b"),
    MountFilesystem("proc", "/proc"),
    Mask("/x"),
    ReadonlyPath("/x"),
    SetHostname("box"),
    Chroot("/box"),
    PivotRoot("/box"),
    MountOverlay(("/a",), "/u", "/w", "/m"),
    BindDevice("/dev/null", "/d"),
)
OTHERS: tuple[Step, ...] = (
    *RULED,
    Unshare(CLONE.NEWNS | CLONE.NEWUTS),
    Fork(),
    Chdir("/"),
)


RULES = [(step, rule) for step in RULED for rule in step.rules]


def violating(step: Step, rule: Rule) -> Plan:
    """Return a short plan that breaks a rule."""
    other = rule.other
    example = other if isinstance(other, Step) else instance_of(other)
    if isinstance(rule, After):
        return Plan(step, example)
    return Plan(example, step) if isinstance(rule, Before) else Plan(step)


def instance_of(kind: type[Step]) -> Step:
    """Return the example of a type from the list above."""
    return next(step for step in OTHERS if isinstance(step, kind))


@pytest.mark.parametrize(
    ("step", "rule"),
    RULES,
    ids=[f"{type(s).__name__}-{type(r).__name__}-{r.reason[:20]}" for s, r in RULES],
)
def test_a_plan_that_breaks_a_rule_is_refused_with_its_reason(
    step: Step, rule: Rule
) -> None:
    plan = violating(step, rule)
    assert rule.sentence(step) in plan.why()
    with pytest.raises(OrderError):
        plan.check()


@pytest.mark.parametrize("step", RULED, ids=lambda step: type(step).__name__)
def test_a_step_with_rules_has_a_place_where_none_is_broken(step: Step) -> None:
    own = Plan(Unshare(CLONE.NEWNS | CLONE.NEWUTS), MakePrivate("/"), Fork())
    assert Plan(own, step, Chdir("/")).why() == "the order is right"
