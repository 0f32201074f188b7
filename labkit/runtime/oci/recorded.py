"""Recorded: what the planner's values are for a container that was made before."""

from __future__ import annotations

import os

from labkit.errors import DocumentError
from labkit.linux.views import HostPath
from labkit.primitives.cgroups.place import Place
from labkit.runtime.oci.container import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_PROGRAMS = ".filters"


def places_of(record: Record, below: Iterable[str] = ()) -> tuple[Place, ...]:
    """Return where a container's cgroup lies.

    Args: below [cgroups below it, as "/inner", or of some controllers alone, as
        "cpu,cpuacct:/inner"; none for its own].
    Raises: DocumentError for one that leads out, isn't there, or is of a controller
        that it hasn't.
    """
    inner = dict.fromkeys(record.cgroups, "")
    for text in below:
        names, colon, path = text.rpartition(":")
        inner |= dict.fromkeys(names.split(",") if colon else inner, path.strip("/"))
        if ".." in path.split("/"):
            raise DocumentError(
                f"--cgroup: {path} is not a sub cgroup path", "a path below, as /inner"
            )
    if unknown := inner.keys() - record.cgroups.keys():
        raise DocumentError(
            f"--cgroup: unknown controller {', '.join(sorted(unknown))}",
            f"one of {', '.join(record.cgroups) or 'none: it has one tree'}",
        )
    return tuple(_place(one, path, inner[one]) for one, path in record.cgroups.items())


def kept_programs(root: str) -> HostPath:
    """Return the directory for compiled filters, made if need be.

    Only its owner may write there: what is read there is loaded as it is.
    """
    path = HostPath(os.path.join(root, _PROGRAMS))
    os.makedirs(path, 0o700, exist_ok=True)
    return path


def _place(controller: str, directory: str, inner: str) -> Place:
    top, name = os.path.split(directory)
    if inner and not os.path.isdir(f"{directory}/{inner}"):
        raise DocumentError(
            f"--cgroup: adding pid to {directory}/{inner}/cgroup.procs: "
            "no such file or directory",
            "make the cgroup first, or name one that is there",
        )
    return Place(controller, HostPath(top), f"{name}/{inner}" if inner else name)
