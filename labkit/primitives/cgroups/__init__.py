"""Control groups: how much processes may take, and who counts it. Chapter 03.

    cgroup       Cgroup: create, limit, join, freeze, kill, say why, remove
    group        what only looks at one: read, snapshot, pids
    steps        JoinCgroup, LimitNotApplied           no_cgroup   where there is none
    hierarchy    Unified (v2) and Legacy (v1): directories, and the choice of one
    leaf         a v2 cgroup that holds processes gets a leaf for them
    knobs        the table: every knob's files in both versions
    forms        a value as text in those files         amounts, io_limit   values
    limits, reading, causes     what is read back, counted, and concluded
    ending       processes first, then directories

Reading order: knobs, hierarchy, group, cgroup.
"""

from labkit.lazy import names_from as _names_from

TYPE_CHECKING = False  # without typing, whose import takes milliseconds
if TYPE_CHECKING:
    from labkit.primitives.cgroups.cgroup import Cgroup
    from labkit.primitives.cgroups.hierarchy import (
        Hierarchy,
        Legacy,
        Unified,
        hierarchy_of,
    )
    from labkit.primitives.cgroups.io_limit import IoLimit
    from labkit.primitives.cgroups.knobs import table
    from labkit.primitives.cgroups.leaf import make_room
    from labkit.primitives.cgroups.limits import Limits
    from labkit.primitives.cgroups.no_cgroup import NoCgroup
    from labkit.primitives.cgroups.reading import CgroupReading, Change
    from labkit.primitives.cgroups.steps import JoinCgroup, LimitNotApplied

__all__ = [
    "Cgroup",
    "CgroupReading",
    "Change",
    "Hierarchy",
    "IoLimit",
    "JoinCgroup",
    "Legacy",
    "LimitNotApplied",
    "Limits",
    "NoCgroup",
    "Unified",
    "hierarchy_of",
    "make_room",
    "table",
]

# Loaded when they are first asked for: a runtime needs places and settings alone.
_HOMES = {
    "cgroup": ("Cgroup",),
    "hierarchy": ("Hierarchy", "Legacy", "Unified", "hierarchy_of"),
    "io_limit": ("IoLimit",),
    "knobs": ("table",),
    "limits": ("Limits",),
    "leaf": ("make_room",),
    "no_cgroup": ("NoCgroup",),
    "reading": ("CgroupReading", "Change"),
    "steps": ("JoinCgroup", "LimitNotApplied"),
}

__getattr__ = _names_from(__name__, _HOMES)
