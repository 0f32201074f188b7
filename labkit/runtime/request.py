"""Request: what a monitor is asked to do; it crosses a socket as JSON. Chapter 09."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.linux.views import HostPath
from labkit.plan.plan import Plan
from labkit.plan.serial import from_json, to_json
from labkit.values import dataclass, field

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A container to be started and watched.

    Args: name [no other that runs has it]; directory [host path, made by the caller:
        where log, exit.json and the monitor's socket are]; plan; groups [host paths of
        its cgroup's directories, which the plan makes: all in them ends with it, and
        they are removed]; stdin [whether it has one; else it reads nothing]; hold
        [True: all steps but the last; `start` goes on]; log_bytes [how long the log may
        become before its older half is dropped].
    """

    name: str
    directory: HostPath
    plan: Plan
    groups: tuple[HostPath, ...] = ()
    stdin: bool = False
    hold: bool = False
    log_bytes: int = field(default=32 * MEBIBYTE)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        names = ("name", "directory", "stdin", "hold", "log_bytes")
        plain = {name: getattr(self, name) for name in names}
        return {**plain, "groups": list(self.groups), "plan": to_json(self.plan)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Request:
        """Read what `to_json` returned.

        Raises: DocumentError for a plan that can't be read.
        """
        groups, plan = tuple(fields["groups"]), from_json(fields["plan"])
        return cls(**{**fields, "groups": groups, "plan": plan})
