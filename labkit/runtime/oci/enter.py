"""The verb exec: one more process in a container that runs.

Reading order: execute, then who the process is: from --process, or the container's own
process with what the command line changes in it.
"""

from __future__ import annotations

import os
from contextlib import closing

from labkit.errors import DocumentError, StateError
from labkit.linux.views import HostPid
from labkit.plan.launch import launch
from labkit.runtime.oci import foreground
from labkit.runtime.oci.container import (
    CREATED,
    PAUSED,
    RUNNING,
    Container,
    Record,
    config_of,
)
from labkit.runtime.oci.create import write_pid
from labkit.runtime.oci.machine import this_machine
from labkit.runtime.oci.recorded import kept_programs, places_of
from labkit.runtime.planner import exec_plan
from labkit.runtime.situation import Target
from labkit.runtime.spec import Process, Spec
from labkit.runtime.spec.document import document_in
from labkit.runtime.spec.node import Node
from labkit.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from labkit.plan.plan import Plan
    from labkit.runtime.oci.arguments import Given
    from labkit.runtime.oci.command import Call


def execute(call: Call) -> int:
    """Run one more program in a container.

    labkit-oci exec [options] CONTAINER PROGRAM [arguments]

      -p, --process FILE     the process as JSON, in place of all other options
      -t, --tty              with a terminal
      -d, --detach           don't wait for its end
      --console-socket PATH  where the terminal's master is sent
      --pid-file FILE        gets the number of the process
      --preserve-fds N       descriptors 3 to 2+N stay open
      -u, --user UID[:GID]   as whom
      -g, --additional-gids GID...  more groups
      --cwd DIR              where it begins
      -e, --env NAME=V...    one more variable
      -c, --cap NAME...      one more capability
      --no-new-privs         it can't gain privileges
      --ignore-paused        also in a paused container: it runs when that goes on
      --cgroup PATH...       a cgroup below the container's, as "/inner", or of one
                             controller: "memory:/inner"
    """
    given = call.given
    container = Container(call.root, given.word(0, "the container's name"))
    record = container.read()
    _check(container, record, given)
    document = config_of(container)
    process = _process(given, document)
    call.log.warn_of_capabilities(process)
    target = Target(
        HostPid(record.pid),
        places_of(record, given.all("cgroup")),
        preserve_fds=given.number("preserve-fds"),
        kept_programs=kept_programs(call.root),
    )
    spec, host = Spec.from_json(document), this_machine()
    if given.on("detach"):
        with closing(foreground.console(given)) as console:
            there = replace(target, console_fd=console.fd)
            _launch(exec_plan(process, spec, host, there), call)
        return 0
    with foreground.Foreground(given, terminal=process.terminal) as here:
        plan = exec_plan(process, spec, host, replace(target, console_fd=here.fd))
        return here.wait(_launch(plan, call))


def _check(container: Container, record: Record, given: Given) -> None:
    status = container.status(record)
    allowed = [RUNNING, CREATED, *([PAUSED] if given.on("ignore-paused") else [])]
    if status not in allowed:
        raise StateError(
            f'cannot exec in a {status} container: "{container.id}"',
            f"labkit-oci state {container.id}",
        )


def _launch(plan: Plan, call: Call) -> int:
    call.log.debug_plan(plan)
    launched = launch(plan)
    if path := call.given.text("pid-file"):
        write_pid(path, launched.pid)
    launched.close()
    return launched.pid


def _process(given: Given, document: dict[str, Any]) -> Process:
    if path := given.text("process"):
        changed, name = document_in(path), os.path.basename(path)
    else:
        changed, name = (
            _changed(given, dict(document.get("process") or {})),
            "config.json",
        )
    if not isinstance(changed, dict):
        raise DocumentError(f"{name}: is no object", "write it as {...}")
    return Process.read(
        Node(changed, name, "" if given.text("process") else "/process")
    )


def _changed(given: Given, process: dict[str, Any]) -> dict[str, Any]:
    args = given.words[1:]
    if not args:
        raise DocumentError(
            "process args cannot be empty", "labkit-oci exec CONTAINER PROGRAM"
        )
    process.update(args=args, terminal=given.on("tty"))
    process["env"] = [*process.get("env", ()), *given.all("env")]
    process["cwd"] = given.text("cwd", process.get("cwd", "/"))
    process["user"] = _user(given, dict(process.get("user") or {}))
    if given.on("no-new-privs"):
        process["noNewPrivileges"] = True
    process["capabilities"] = _capabilities(given, process.get("capabilities"))
    return process


def _user(given: Given, user: dict[str, Any]) -> dict[str, Any]:
    if text := given.text("user"):
        uid, _, gid = text.partition(":")
        if not uid.isdigit() or (gid and not gid.isdigit()):
            raise DocumentError(
                f"--user {text}: not a number", "numbers, as 1000 or 1000:1000"
            )
        user.update(uid=int(uid), gid=int(gid or user.get("gid", 0)))
    more = [
        int(gid) for text in given.all("additional-gids") for gid in text.split(",")
    ]
    user["additionalGids"] = [*user.get("additionalGids", ()), *more]
    return user


def _capabilities(given: Given, sets: dict[str, Any] | None) -> dict[str, Any] | None:
    more = given.all("cap")
    if not more:
        return sets
    wider = ("bounding", "effective", "permitted")
    return {**(sets or {}), **{n: [*(sets or {}).get(n, ()), *more] for n in wider}}
