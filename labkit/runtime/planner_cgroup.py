"""The planner's part about the cgroup: made, limited, joined; and how it is changed."""

from __future__ import annotations

from collections.abc import Iterator

from labkit.errors import HostError
from labkit.host import Host
from labkit.linux.flags import MS, NamespaceType
from labkit.linux.views import HostPath
from labkit.plan.step import Step
from labkit.primitives.cgroups.device_rules import (
    DEFAULTS,
    AllowDevices,
    DeviceRule,
    FilterDevices,
)
from labkit.primitives.cgroups.place import V2, MakeCgroup, Place
from labkit.primitives.cgroups.settings import (
    LimitCgroup,
    Setting,
    disk_setting,
    settings_of,
    unified_setting,
)
from labkit.primitives.cgroups.steps import LimitNotApplied
from labkit.primitives.device_inside import MakeLinks
from labkit.primitives.mount_inside import BindInside, MountInside
from labkit.primitives.mount_options import MountOptions
from labkit.runtime.situation import Situation
from labkit.runtime.spec import Spec
from labkit.runtime.spec.mounts import Mount
from labkit.runtime.spec.resources import Resources

# What a rule can be about: a fifo has no driver, "u" is a character device, too.
_KIND = {"a": "a", "b": "b", "c": "c", "u": "c"}
Writes = tuple[tuple[HostPath, str], ...]


def cgroup_steps(spec: Spec, host: Host, situation: Situation) -> list[Step]:
    """Return the steps that make a container's cgroup and limit it, from outside."""
    places, name = situation.places, situation.container_id
    resources = spec.linux.resources
    if not places:
        return _not_limited(resources)
    writes = writes_of(resources, places)
    return [
        MakeCgroup(name, places),
        *([LimitCgroup(name, writes)] if writes else ()),
        *(_devices(spec, places) if host.privilege.over_the_machine else ()),
    ]


def writes_of(resources: Resources, places: tuple[Place, ...]) -> Writes:
    """Return the files and texts that give a cgroup its limits: `update` writes them.

    Raises: DocumentError for numbers that don't go together; HostError for a controller
        that this machine doesn't have.
    """
    version = places[0].version
    settings = [
        *settings_of(_amounts(resources), version=version),
        *_disks(resources, version),
        *_huge_pages(resources, version),
        *(
            unified_setting(file, text, version=version)
            for file, text in resources.unified.items()
        ),
    ]
    return tuple((_file(one, places), one.text) for one in settings)


def _not_limited(resources: Resources) -> list[Step]:
    asked = ", ".join(_amounts(resources))
    return [LimitNotApplied("it has no cgroup of its own", asked)] if asked else []


def _amounts(resources: Resources) -> dict[str, int | str]:
    memory, cpu = resources.memory, resources.cpu
    amounts: dict[str, int | str | None] = {
        "memory_limit": memory.limit,
        "memory_reservation": memory.reservation,
        "memory_swap": memory.swap,
        "memory_swappiness": memory.swappiness,
        "oom_kill_disabled": 1 if memory.disable_oom_killer else None,
        "cpu_shares": cpu.shares or None,
        "cpu_period": cpu.period or None,
        "cpu_quota": cpu.quota or None,
        "cpu_burst": cpu.burst,
        "realtime_period": cpu.realtime_period or None,
        "realtime_runtime": cpu.realtime_runtime or None,
        "cpu_idle": cpu.idle,
        "cpus": cpu.cpus or None,
        "mems": cpu.mems or None,
        "pids_limit": resources.pids_limit,
        "io_weight": resources.block_io.weight or None,
    }
    return {name: amount for name, amount in amounts.items() if amount is not None}


def _disks(resources: Resources, version: int) -> Iterator[Setting]:
    io = resources.block_io
    for name, limits in (
        ("read_bps", io.throttle_read_bps_device),
        ("write_bps", io.throttle_write_bps_device),
        ("read_iops", io.throttle_read_iops_device),
        ("write_iops", io.throttle_write_iops_device),
        ("weight", io.weight_device),
    ):
        for one in limits:
            device = f"{one.major}:{one.minor}"
            yield disk_setting(name, device, one.rate, version=version)


def _huge_pages(resources: Resources, version: int) -> Iterator[Setting]:
    for one in resources.hugepage_limits:
        file = "max" if version == 2 else "limit_in_bytes"
        yield Setting("hugetlb", f"hugetlb.{one.page_size}.{file}", str(one.limit))


def _file(setting: Setting, places: tuple[Place, ...]) -> HostPath:
    for place in places:
        if place.controller in (V2, setting.controller):
            return HostPath(f"{place.directory}/{setting.file}")
    raise HostError(
        f"cgroups: there is no controller {setting.controller} for {setting.file}",
        "leave that limit out; `labkit doctor` shows which controllers there are",
    )


def _devices(spec: Spec, places: tuple[Place, ...]) -> list[Step]:
    asked = tuple(
        DeviceRule(one.allow, _KIND[one.type], one.major, one.minor, one.access)
        for one in spec.linux.resources.devices
        if one.type in _KIND
    )
    if asked == (DeviceRule(allow=True),):
        return []  # a privileged container
    # What isn't allowed is forbidden, whether the document says so first or not.
    rules = (DeviceRule(allow=False), *asked, *DEFAULTS)
    for place in places:
        if place.controller == V2:
            return [FilterDevices(place.directory, rules)]
        if place.controller == "devices":
            return [AllowDevices(place.directory, rules)]
    return []


def cgroup_mount(mount: Mount, spec: Spec, situation: Situation) -> list[Step]:
    """Return the steps that show the container its cgroup: where it lies, and no more.

    On v2 it is one file system. On v1 it is a tmpfs with a directory for each
    controller: a mount of the controller where there is a cgroup namespace, which shows
    its root; else a bind of the container's own directory.
    """
    options = MountOptions.of(mount.options)
    own = spec.linux.namespace(NamespaceType.CGROUP) is not None
    places = situation.places
    if not places:
        return [LimitNotApplied(f"no cgroup, so none at {mount.destination}")]
    if places[0].controller == V2:
        if own:
            return [MountInside("cgroup2", mount.destination, "cgroup", options)]
        below = options._replace(below=True)
        return [BindInside(places[0].directory, mount.destination, below)]
    return _trees(mount, options, places, own=own)


def _trees(
    mount: Mount, options: MountOptions, places: tuple[Place, ...], *, own: bool
) -> list[Step]:
    writable = options._replace(flags=options.flags & ~MS.RDONLY, data="mode=755")
    steps: list[Step] = [MountInside("tmpfs", mount.destination, "tmpfs", writable)]
    for top in dict.fromkeys(place.top for place in places if place.version == 1):
        names = [place.v1_name for place in places if place.top == top]
        target = f"{mount.destination}/{','.join(names)}"
        if own:
            data = options._replace(data=",".join(names))
            steps.append(MountInside("cgroup", target, "cgroup", data))
        else:
            directory = next(p.directory for p in places if p.top == top)
            steps.append(BindInside(directory, target, options))
        links = [(",".join(names), f"{mount.destination}/{n}") for n in names]
        steps += [MakeLinks(tuple(links))] if len(names) > 1 else []
    return steps  # the tmpfs becomes read-only later, if it shall: planner_root
