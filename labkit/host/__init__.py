"""One probe of this machine: a frozen Host that everything else is decided by. Layer 2.

    probe() -> Host
        .release .machine .distribution .place   which Linux, and where it runs
        .privilege                               root or not, capabilities, namespaces
        .user_namespaces                         limits, the distributions' switches
        .trials                                  what really worked, tried in children
        .cgroups                                 layout, controllers, own cgroup
        .subordinate_uids .subordinate_gids      ranges from /etc/subuid, /etc/subgid
        .swap_bytes .tools .busybox .state

    machine         the values                   trials     the trials
    probing         reads them                   elf        static or not
    cgroup_layout   controllers and where they are   places   where the state lies
    surroundings    distribution, programs, container, virtual machine

A probe takes some ten milliseconds and changes nothing: probe once, pass the Host on.

Left out: security modules' profiles; the trials show their effect.
"""

from labkit.host.cgroup_layout import CgroupLayout, Controller, Layout
from labkit.host.machine import Host, IdRange, Privilege, UserNamespaces
from labkit.host.places import StatePlace
from labkit.host.probing import is_root, probe
from labkit.host.surroundings import Distribution, Place, Tool
from labkit.host.trials import Trial, Trials

__all__ = [
    "CgroupLayout",
    "Controller",
    "Distribution",
    "Host",
    "IdRange",
    "Layout",
    "Place",
    "Privilege",
    "StatePlace",
    "Tool",
    "Trial",
    "Trials",
    "UserNamespaces",
    "is_root",
    "probe",
]
