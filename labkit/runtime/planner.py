"""The planner: a container's whole order, from a spec, a host and a situation.

    create_plan(spec, host, situation) -> Plan
    exec_plan(process, spec, situation, target) -> Plan

    cgroup       made, and joined while its files can be reached
    namespaces   joined and new ones; a user namespace first, with its ids
    root         mounts in the new root, then pivot_root, then what paths mean inside
    process      limits, groups, user, capabilities, filter: what it gives up, last
    gate         the wait for `start`
    program      Exec

This is the only place that knows the order. Each constraint stands as a Rule, with its
reason, on the step that it is about: plan.reasons() shows them all.
"""

from __future__ import annotations

from labkit.host import Host
from labkit.plan.plan import Plan
from labkit.plan.step import Step
from labkit.primitives.cgroups.place import MakeCgroup, Place
from labkit.primitives.cgroups.steps import JoinCgroup
from labkit.primitives.namespaces import JoinNamespaces
from labkit.primitives.process import Fork
from labkit.runtime.planner_namespaces import enter_kinds, namespace_steps, uts_steps
from labkit.runtime.planner_process import process_steps, program
from labkit.runtime.planner_root import root_steps
from labkit.runtime.situation import Situation, Target
from labkit.runtime.spec import Process, Spec

__all__ = ["Situation", "Target", "create_plan", "exec_plan"]


def create_plan(spec: Spec, host: Host, situation: Situation) -> Plan:
    """Return the steps that make a process the container that a spec describes.

    Args: spec; host [what may be done here]; situation [what the spec doesn't say].
    Returns: a plan; nothing is changed until it is launched.
    Raises: DocumentError for a spec that can't be, as a hostname without a UTS
        namespace.
    """
    process = spec.process
    return Plan(
        *_cgroup(situation),
        *namespace_steps(spec, host),
        *uts_steps(spec),
        *root_steps(spec, host, situation),
        *(process_steps(process, spec, host) if process else ()),
        *([situation.gate] if situation.gate else ()),
        *([program(process)] if process else ()),
    )


def exec_plan(process: Process, spec: Spec, host: Host, target: Target) -> Plan:
    """Return the steps that put one more process into a container that runs.

    Args: process [what to run]; spec [the container's own]; host; target [its first
        process and its cgroup].
    Returns: a plan.
    Raises: DocumentError for a process that can't be.
    """
    return Plan(
        *_join("of the container", target.places),
        JoinNamespaces(target.pid, enter_kinds(spec)),
        Fork(),
        *process_steps(process, spec, host),
        program(process),
    )


def _cgroup(situation: Situation) -> list[Step]:
    if not situation.places:
        return []
    make = MakeCgroup(situation.container_id, situation.places)
    return [make, *_join(situation.container_id, situation.places)]


def _join(name: str, places: tuple[Place, ...]) -> list[Step]:
    # Each once, because two controllers can share a tree.
    directories = tuple(dict.fromkeys(place.directory for place in places))
    return [JoinCgroup(name, directories)] if directories else []
