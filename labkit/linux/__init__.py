"""System calls by their man-page names: one table, one error path. Layer 1.

flags, structs, views    the words: CLONE.NEWNS, CapabilitySets, HostPid
table                    one row for each call
call                     the one path every call takes
processes, mounting, files   the calls, each with its man page and its errnos
syscalls, trace          the object called `linux`: plain, timed, recorder
rtnetlink, link_list     how networks are asked to change, and for their links
proc                     readers of /proc
"""

from labkit.linux.call import Call
from labkit.linux.flags import CAP, CLONE, MNT, MS, NamespaceType
from labkit.linux.syscalls import Linux, Timed
from labkit.linux.trace import Recorder
from labkit.linux.views import (
    ContainerId,
    ContainerPath,
    ContainerPid,
    HostId,
    HostPath,
    HostPid,
)

__all__ = [
    "CAP",
    "CLONE",
    "MNT",
    "MS",
    "Call",
    "ContainerId",
    "ContainerPath",
    "ContainerPid",
    "HostId",
    "HostPath",
    "HostPid",
    "Linux",
    "NamespaceType",
    "Recorder",
    "Timed",
]
