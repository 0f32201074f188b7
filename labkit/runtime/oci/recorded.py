"""Recorded: what the planner's values are for a container that was made before."""

from __future__ import annotations

import os

from labkit.errors import DocumentError
from labkit.linux.views import HostPath
from labkit.primitives.cgroups.place import Place
from labkit.runtime.oci.container import Record

_PROGRAMS = ".filters"


def places_of(record: Record, below: str = "") -> tuple[Place, ...]:
    """Return where a container's cgroup lies.

    Args: below [a cgroup below it, as "/inner"; "" for its own].
    Raises: DocumentError for one that leads out.
    """
    inner = below.strip("/")
    if ".." in inner.split("/"):
        raise DocumentError(f"--cgroup {below}: leads out", "a path below, as /inner")
    return tuple(_place(one, path, inner) for one, path in record.cgroups.items())


def kept_programs(root: str) -> HostPath:
    """Return the directory for compiled filters, made if need be.

    Only its owner may write there: what is read there is loaded as it is.
    """
    path = HostPath(os.path.join(root, _PROGRAMS))
    os.makedirs(path, 0o700, exist_ok=True)
    return path


def _place(controller: str, directory: str, inner: str) -> Place:
    top, name = os.path.split(directory)
    return Place(controller, HostPath(top), f"{name}/{inner}" if inner else name)
