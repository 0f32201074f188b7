"""The verb spec: an example of a config.json, to start from."""

from __future__ import annotations

import json
import os

from labkit.errors import StateError, syscall_error
from labkit.runtime.spec.document import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
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
    if call.given.on("rootless"):
        document["linux"] = {**document["linux"], **_own_ids()}
    try:
        # "x": a file that is there is somebody's work.
        with open(path, "x", encoding="utf-8") as file:
            file.write(json.dumps(document, indent=4) + "\n")
    except FileExistsError:
        raise StateError(f"File {path} exists. Remove it first", f"rm {path}") from None
    except OSError as refused:
        raise syscall_error(f'open("{path}", O_CREAT)', refused.errno or 0) from None


def _own_ids() -> dict[str, object]:
    me = os.stat("/proc/self")
    ids = {"uidMappings": me.st_uid, "gidMappings": me.st_gid}
    return {
        name: [{"containerID": 0, "hostID": number, "size": 1}]
        for name, number in ids.items()
    }
