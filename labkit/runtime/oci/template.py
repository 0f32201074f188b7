"""The verb spec: an example of a config.json, to start from."""

from __future__ import annotations

import json
import os

from labkit.errors import StateError, syscall_error
from labkit.host.cgroup_layout import Layout
from labkit.runtime.oci.machine import this_machine
from labkit.runtime.spec.document import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from labkit.runtime.oci.command import Call

_NAME = "config.json"


def spec(call: Call) -> None:
    """Write an example config.json, which shows what there is to be said.

    labkit-oci spec [options]

      -b, --bundle DIR  where it is written; else the current directory
      --rootless        for an ordinary user: a user namespace, and no limits
    """
    path = os.path.join(call.given.text("bundle", "."), _NAME)
    document = dict(Spec.default(rootless=call.given.on("rootless")).raw)
    document["linux"] = _for_this_machine(document["linux"])
    if call.given.on("rootless"):
        document["linux"] |= _own_ids()
    try:
        # "x": a file that is there is somebody's work.
        with open(path, "x", encoding="utf-8") as file:
            file.write(json.dumps(document, indent=4) + "\n")
    except FileExistsError:
        raise StateError(f"File {path} exists. Remove it first", f"rm {path}") from None
    except OSError as refused:
        raise syscall_error(f'open("{path}", O_CREAT)', refused.errno or 0) from None


def _for_this_machine(linux: dict[str, Any]) -> dict[str, Any]:
    # Where each controller has a tree of its own, a cgroup namespace shows an engine
    # other paths than the ones it knows: podman and runc leave it out there.
    if this_machine().cgroups.layout is Layout.UNIFIED:
        return dict(linux)
    kinds = [one for one in linux["namespaces"] if one["type"] != "cgroup"]
    return {**linux, "namespaces": kinds}


def _own_ids() -> dict[str, object]:
    me = os.stat("/proc/self")
    ids = {"uidMappings": me.st_uid, "gidMappings": me.st_gid}
    return {
        name: [{"containerID": 0, "hostID": number, "size": 1}]
        for name, number in ids.items()
    }
