"""The planner: a container's whole order, from a spec, a host and a situation.

    create_plan(spec, host, situation) -> Plan
    exec_plan(process, spec, host, target) -> Plan

    cgroup       made and limited, from outside
    namespaces   joined and new ones, the inside is born in them; its ids
    mounts       in the new root, devices; then hooks; then the root is entered
    inside       settings, hidden and protected paths
    process      terminal, limits, groups, user, capabilities: what it gives up
    gate         the wait for `start`
    program      the filter of system calls, and the program

This is the only place that knows the order. Each constraint stands as a Rule, with its
reason, on the step that it is about: plan.reasons() shows them all. An ordinary user's
container is another plan of the same parts: `a - b` shows what differs.
"""

from __future__ import annotations

import json

from labkit.errors import DocumentError
from labkit.host import Host
from labkit.linux.flags import CLONE
from labkit.linux.views import HostPath
from labkit.plan.plan import Plan
from labkit.plan.step import Step
from labkit.primitives.capabilities import SetDumpable
from labkit.primitives.cgroups.place import birthplace, moved_into
from labkit.primitives.cgroups.steps import JoinCgroup
from labkit.primitives.clone import Clone
from labkit.primitives.leftovers import NewSession
from labkit.primitives.namespaces import JoinNamespaces
from labkit.primitives.process import Fork
from labkit.primitives.program.console import OpenConsole
from labkit.primitives.program.hooks import RunHooks, RunHooksInside
from labkit.primitives.user import SetUser
from labkit.runtime.hooks import primitive_hook
from labkit.runtime.planner_cgroup import cgroup_steps
from labkit.runtime.planner_namespaces import enter_kinds, namespace_steps, uts_steps
from labkit.runtime.planner_process import (
    check_process,
    early_steps,
    label_steps,
    late_filters,
    process_steps,
    program,
)
from labkit.runtime.planner_root import enter_steps, inside_steps, mount_steps
from labkit.runtime.situation import Situation, Target
from labkit.runtime.spec import Process, Spec
from labkit.runtime.spec.mounts import Hook

__all__ = ["Situation", "Target", "create_plan", "exec_plan"]


def create_plan(spec: Spec, host: Host, situation: Situation) -> Plan:
    """Return the steps that make a process the container that a spec describes.

    Args: spec; host [what may be done here]; situation [what the spec doesn't say].
    Returns: a plan; nothing is changed until it is launched.
    Raises: DocumentError for a spec that can't be, as a hostname without a UTS
        namespace.
    """
    process = spec.process
    if process is not None:
        check_process(process)
    return Plan(
        *cgroup_steps(spec, host, situation),
        *early_steps(process),
        *namespace_steps(spec, host, situation),
        *uts_steps(spec),
        *mount_steps(spec, host, situation),
        *_hooks_outside(spec, situation),
        *(label_steps(process) if process else ()),
        *enter_steps(spec, situation),
        NewSession(),  # late, because during a move between cgroups it would wait
        # Before inside_steps, because /dev may become read-only there.
        *_console(process, situation.console_fd, mount=True),
        *inside_steps(spec, situation),
        *(process_steps(process, spec, host, situation) if process else ()),
        *([situation.gate] if situation.gate else ()),
        *(late_filters(process, spec, situation) if process else ()),
        *_hooks("startContainer", spec.hooks.start_container, spec, situation),
        *([program(process, situation)] if process else ()),
    )


def exec_plan(process: Process, spec: Spec, host: Host, target: Target) -> Plan:
    """Return the steps that put one more process into a container that runs.

    Before it is inside, it can't be looked into any more (CVE-2019-5736).

    Args: process [what to run]; spec [the container's own]; host; target [its first
        process and its cgroup].
    Returns: a plan.
    Raises: DocumentError for a process that can't be.
    """
    check_process(process)
    there = Situation(
        "",
        HostPath(""),
        preserve_fds=target.preserve_fds,
        kept_programs=target.kept_programs,
    )
    return Plan(
        # While it sees the host's cgroups; what it forks is born in the container's.
        *_join(target),
        *early_steps(process),
        *label_steps(process),
        SetDumpable(),
        JoinNamespaces(target.pid, enter_kinds(spec)),
        Fork(),
        *([SetUser(0, 0, None)] if enter_kinds(spec) & CLONE.NEWUSER else ()),
        NewSession(),
        *_console(process, target.console_fd, mount=False),
        *process_steps(process, spec, host, there),
        *late_filters(process, spec, there),
        program(process, there),
    )


def _join(target: Target) -> list[Step]:
    born, directories = birthplace(target.places), moved_into(target.places)
    steps: list[Step] = [Clone(CLONE(0), born)] if born else []
    if directories:
        steps.append(JoinCgroup("of the container", directories, "tasks"))
    return steps


def _console(process: Process | None, fd: int | None, *, mount: bool) -> list[Step]:
    if process is None or not process.terminal:
        return []
    if fd is None:
        raise DocumentError(
            "config.json: /process/terminal: there is nobody to hold the terminal",
            "give a console socket, or write false",
            meaning="a terminal has two ends, and one is sent over that socket",
        )
    size = process.console_size
    rows, columns = (size.height, size.width) if size else (0, 0)
    return [OpenConsole(fd, rows, columns, process.user.uid, mount)]


def _hooks_outside(spec: Spec, situation: Situation) -> list[Step]:
    outside = (
        ("prestart", spec.hooks.prestart),
        ("createRuntime", spec.hooks.create_runtime),
    )
    return [
        *(
            RunHooks(moment, tuple(map(primitive_hook, hooks)), _state(spec, situation))
            for moment, hooks in outside
            if hooks
        ),
        *_hooks("createContainer", spec.hooks.create_container, spec, situation),
    ]


def _hooks(
    moment: str, hooks: tuple[Hook, ...], spec: Spec, situation: Situation
) -> list[Step]:
    if not hooks:
        return []
    programs = tuple(map(primitive_hook, hooks))
    status = "created" if moment == "startContainer" else "creating"
    return [RunHooksInside(moment, programs, _state(spec, situation, status))]


def _state(spec: Spec, situation: Situation, status: str = "creating") -> str:
    return json.dumps(
        {
            "ociVersion": spec.oci_version,
            "id": situation.container_id,
            "status": status,
            "bundle": situation.bundle,
            "annotations": spec.annotations,
        }
    )
