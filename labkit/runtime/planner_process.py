"""The planner's part about the process: what it gives up, and the program."""

from __future__ import annotations

from labkit.host import Host
from labkit.plan.step import Step
from labkit.primitives.process import Exec
from labkit.primitives.root import Chdir
from labkit.primitives.user import SetUmask, SetUser
from labkit.runtime.spec import Process, Spec


def process_steps(process: Process, spec: Spec, host: Host) -> list[Step]:
    """Return the steps by which a process becomes who it shall be."""
    user = process.user
    return [
        SetUmask(0o022 if user.umask is None else user.umask),
        SetUser(user.uid, user.gid, user.additional_gids),
        Chdir(process.cwd),
    ]


def program(process: Process) -> Step:
    """Return the last step: the program."""
    return Exec(process.args, dict(entry.split("=", 1) for entry in process.env))
