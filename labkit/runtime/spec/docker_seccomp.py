"""Docker's default list of system calls, as linux.seccomp for one container.

    docker_seccomp(capabilities, machine)      a document for config.json

The list (docker_seccomp.json) is the published one of moby: a call that a capability
opens is there only with it, and some are there on some machines only.
Left out: minKernel, because every Linux that this runtime runs on is new enough.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

# What moby's list calls the machines that Linux calls otherwise.
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_KEPT = ("names", "action", "errnoRet", "args")
_FILE = os.path.join(os.path.dirname(__file__), "docker_seccomp.json")


def docker_seccomp(capabilities: Iterable[str], machine: str) -> dict[str, Any]:
    """Return the section linux.seccomp that Docker would write.

    Args: capabilities [those of the bounding set, "CAP_CHOWN"]; machine ["x86_64"].
    """
    with open(_FILE, encoding="utf-8") as file:
        profile = json.load(file)
    has, named = set(capabilities), _MACHINES.get(machine, machine)
    rules = (rule for rule in profile["syscalls"] if _counts(rule, has, named))
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": _architectures(profile, machine),
        "syscalls": [
            {
                key: rule[key]
                for key in ("names", "action", "errnoRet", "args")
                if key in rule
            }
            for rule in rules
        ],
    }


def _counts(rule: dict[str, Any], has: set[str], machine: str) -> bool:
    includes, excludes = rule.get("includes", {}), rule.get("excludes", {})
    return (
        has >= set(includes.get("caps", ()))
        and machine in includes.get("arches", (machine,))
        and not has & set(excludes.get("caps", ()))
        and machine not in excludes.get("arches", ())
    )


def _architectures(profile: dict[str, Any], machine: str) -> list[str]:
    for row in profile["archMap"]:
        if row["architecture"] == f"SCMP_ARCH_{machine.upper()}":
            return [row["architecture"], *row["subArchitectures"]]
    return []
