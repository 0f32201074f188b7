"""Machine: what a plan must know about this host, without a probe's trials.

A probe forks children to try what only trying can tell; a container that is made now
is itself the trial, and its error tells more.
"""

from __future__ import annotations

import os

from labkit.host.cgroup_layout import read_layout
from labkit.host.machine import Host
from labkit.host.probing import is_root, read_privilege
from labkit.host.surroundings import find_tools
from labkit.linux.views import HostPath

# An engine starts this program with an environment that is nearly empty.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def this_machine() -> Host:
    """Return privileges and cgroups; for an ordinary user its programs, too."""
    privilege = read_privilege(HostPath("/"), root_user=is_root())
    layout = read_layout(privileged=privilege.root)
    with open("/proc/sys/kernel/osrelease") as file:
        release = file.read().strip()
    # newuidmap and newgidmap: root writes id maps by itself.
    environment = {"PATH": PATH, **os.environ}
    tools = () if privilege.root else find_tools(environment)
    return Host(release, privilege, cgroups=layout, tools=tools)
