"""The planner's part about the root: its mounts, its devices, and what is hidden.

The root is walked from outside (inside_root) until pivot_root, because sources are the
host's; what is set up by path comes after it, because only then a path means what it
will mean to the program.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from labkit.errors import DocumentError
from labkit.host import Host
from labkit.linux.flags import CAP, CLONE, MOUNT_ATTR, MS, NamespaceType
from labkit.linux.views import HostPath
from labkit.plan.step import Step
from labkit.primitives.device_inside import (
    DEFAULT_DEVICES,
    DeviceFile,
    MakeDevices,
    MakeLinks,
)
from labkit.primitives.hidden_paths import HidePaths, ProtectPaths
from labkit.primitives.inside_root import MakeDirectoryInside, MakeFileInside
from labkit.primitives.mount_from_outside import BindFromOutside
from labkit.primitives.mount_inside import (
    BindInside,
    MountInside,
    SetMountAttributes,
)
from labkit.primitives.mount_options import MountOptions
from labkit.primitives.mounts import BindMount, MakeSlave
from labkit.primitives.move_root import MoveRoot
from labkit.primitives.peers_of_the_host import MakeShared, PivotSharedRoot
from labkit.primitives.root import Chdir, Chroot, PivotRoot
from labkit.primitives.sysctl import SetSysctl, namespace_of, path_of
from labkit.runtime.planner_cgroup import cgroup_mount
from labkit.runtime.planner_namespaces import cgroup_namespace_steps, enter_kinds
from labkit.runtime.situation import Situation
from labkit.runtime.spec import Spec
from labkit.runtime.spec.mounts import Mount

_READONLY = MountOptions(set=MOUNT_ATTR.RDONLY)
_DEV = "/dev"
_CGROUPS = ("cgroup", "cgroup2")


def mount_steps(spec: Spec, host: Host, situation: Situation) -> list[Step]:
    """Return the steps that mount and make what the container's file tree has."""
    rootfs = os.path.join(situation.bundle, spec.root.path)
    if spec.linux.namespace(NamespaceType.MOUNT) is None:
        _refuse_mounts(spec)
        return [*cgroup_namespace_steps(spec, situation)]
    return [
        _apart(spec, rootfs),
        BindMount(rootfs, rootfs),
        Chdir(rootfs),
        *_mounts(spec, host, situation),
        *_devices(spec, host),
        # As other runtimes do; it may lie in a volume that is empty.
        *([MakeDirectoryInside(spec.process.cwd)] if spec.process else ()),
    ]


def enter_steps(spec: Spec, situation: Situation) -> list[Step]:
    """Return the steps that make the file tree the root."""
    if spec.linux.namespace(NamespaceType.MOUNT) is None:
        rootfs = os.path.join(situation.bundle, spec.root.path)
        return [Chroot(rootfs), Chdir("/")]
    if not situation.pivot:
        return [MoveRoot()]
    return [PivotSharedRoot(".") if _is_shared(spec) else PivotRoot(".")]


def inside_steps(spec: Spec, situation: Situation) -> list[Step]:
    """Return the steps that set, hide and protect paths of the inside's own.

    Raises: DocumentError for a setting that is the whole machine's.
    """
    linux = spec.linux
    if linux.namespace(NamespaceType.MOUNT) is None:
        return []
    propagation = MountOptions.of([_propagation(spec)])
    return [
        *_sysctls(spec),
        *_delayed(spec, situation),
        *([HidePaths(linux.masked_paths)] if linux.masked_paths else ()),
        *([ProtectPaths(linux.readonly_paths)] if linux.readonly_paths else ()),
        *([SetMountAttributes("/", _READONLY)] if spec.root.readonly else ()),
        *([SetMountAttributes("/", propagation)] if propagation.propagation else ()),
    ]


def _apart(spec: Spec, rootfs: str) -> Step:
    # Mounts of the inside go out only where a volume shall be shared both ways.
    if _is_shared(spec):
        return MakeShared("/", os.path.realpath(rootfs))
    return MakeSlave("/")


def _mounts(spec: Spec, host: Host, situation: Situation) -> Iterator[Step]:
    # A mount that shows cgroups shows them as the cgroup namespace does.
    waiting = cgroup_namespace_steps(spec, situation)
    for mount in spec.mounts:
        if mount.type in _CGROUPS and waiting:
            yield from waiting
            waiting = []
        yield from _mount(mount, spec, host, situation)
    yield from waiting


def _mount(mount: Mount, spec: Spec, host: Host, situation: Situation) -> list[Step]:
    options = MountOptions.of(mount.options)
    mappings = (mount.uid_mappings, mount.gid_mappings)
    if any(mappings):
        _check_mappings(mount, spec)
    if mount.is_bind:
        source = os.path.join(situation.bundle, mount.source)
        if host.privilege.root and spec.linux.namespace(NamespaceType.USER):
            rootfs = HostPath(os.path.join(situation.bundle, spec.root.path))
            bind = BindFromOutside(source, mount.destination, options, rootfs=rootfs)
            return [_place_for(bind), bind]
        return [BindInside(source, mount.destination, options, mappings=mappings)]
    if mount.type in _CGROUPS:
        return cgroup_mount(mount, spec, situation)
    if mount.type == "tmpfs":
        options = options._replace(flags=options.flags & ~MS.RDONLY)
    return [MountInside(mount.type, mount.destination, mount.source, options)]


def _place_for(bind: BindFromOutside) -> Step:
    # Made by the inside: on a file system of the container's own, what the outside's
    # root makes would have an owner whom nobody knows there (EOVERFLOW).
    if os.path.isdir(bind.source):
        return MakeDirectoryInside(bind.target)
    return MakeFileInside(bind.target)


def _check_mappings(mount: Mount, spec: Spec) -> None:
    if not mount.is_bind or not (mount.uid_mappings and mount.gid_mappings):
        problem = "an id map is for a bind mount, and has both uids and gids"
    elif spec.linux.namespace(NamespaceType.USER) is not None:
        problem = "in a user namespace, nobody has the power to map a host's mount"
    else:
        return
    raise DocumentError(
        f"config.json: /mounts: {mount.destination}: can't have an id map",
        "leave uidMappings and gidMappings out",
        meaning=problem,
    )


def _delayed(spec: Spec, situation: Situation) -> Iterator[Step]:
    # What is read-only, but first filled: with devices, with cgroup trees.
    kinds = ("tmpfs", "cgroup") if situation.places else ("tmpfs",)
    for mount in spec.mounts:
        if mount.type in kinds and MountOptions.of(mount.options).flags & MS.RDONLY:
            yield SetMountAttributes(mount.destination, _READONLY)


def _devices(spec: Spec, host: Host) -> Iterator[Step]:
    if not _brings_a_dev(spec):
        return
    asked = tuple(
        DeviceFile(d.path, d.type, d.major, d.minor, d.file_mode, d.uid, d.gid)
        for d in spec.linux.devices
    )
    defaults = (d for d in DEFAULT_DEVICES if d.path not in {a.path for a in asked})
    devices = (*defaults, *asked)
    if host.privilege.has(CAP.MKNOD) and not enter_kinds(spec) & CLONE.NEWUSER:
        yield MakeDevices(devices)
    else:
        yield from (BindInside(d.path, d.path, MountOptions()) for d in devices)
    yield MakeLinks()


def _brings_a_dev(spec: Spec) -> bool:
    # A /dev that is bound from the host is full already.
    return not any(m.destination.rstrip("/") == _DEV and m.is_bind for m in spec.mounts)


def _sysctls(spec: Spec) -> Iterator[Step]:
    for name, value in spec.linux.sysctl.items():
        kind = namespace_of(name)
        if kind is NamespaceType.UTS:
            _refuse_name(name, value, spec)
        if kind is None or spec.linux.namespace(kind) is None:
            raise DocumentError(
                f"config.json: /linux/sysctl/{name}: is the whole machine's setting",
                "set it on the host, or leave it out",
                meaning="it belongs to no namespace of the container's own",
            )
        yield SetSysctl(name, value)


def _refuse_name(name: str, value: str, spec: Spec) -> None:
    # Names have fields of their own, and two that differ would contradict each other.
    domain = path_of(name).endswith("domainname")
    if not domain or (spec.domainname and value != spec.domainname):
        field = "domainname" if domain else "hostname"
        raise DocumentError(
            f"config.json: /linux/sysctl/{name}: names aren't set here",
            f'write "{field}": "{value}" beside "root", and leave this out',
        )


def _is_shared(spec: Spec) -> bool:
    return spec.linux.rootfs_propagation in ("shared", "rshared")


def _propagation(spec: Spec) -> str:
    # Not recursive unless asked: a volume may have a propagation of its own.
    return spec.linux.rootfs_propagation or "private"


def _refuse_mounts(spec: Spec) -> None:
    if spec.mounts or spec.linux.masked_paths or spec.linux.readonly_paths:
        raise DocumentError(
            "config.json: /mounts: there is no mount namespace for them",
            'add {"type": "mount"} to linux.namespaces, or leave mounts out',
            meaning="they would be the host's mounts, and so would masked paths be",
        )
