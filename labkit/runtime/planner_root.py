"""The planner's part about the root: its mounts, its devices, and what is hidden."""

from __future__ import annotations

import os
from collections.abc import Iterator

from labkit.host import Host
from labkit.linux.flags import CLONE, MOUNT_ATTR
from labkit.plan.step import Step
from labkit.primitives.device_inside import DEFAULT_DEVICES, MakeDevices, MakeLinks
from labkit.primitives.mount_inside import BindInside, MountInside, SetMountAttributes
from labkit.primitives.mount_options import MountOptions
from labkit.primitives.mounts import BindMount, MakeSlave, Mask, ReadonlyPath
from labkit.primitives.root import Chdir, PivotRoot
from labkit.runtime.planner_namespaces import enter_kinds
from labkit.runtime.situation import Situation
from labkit.runtime.spec import Spec
from labkit.runtime.spec.mounts import Mount


def root_steps(spec: Spec, host: Host, situation: Situation) -> list[Step]:
    """Return the steps that make the spec's file tree the root."""
    rootfs = os.path.join(situation.bundle, spec.root.path)
    return [
        MakeSlave("/"),
        BindMount(rootfs, rootfs),
        Chdir(rootfs),
        *_mounts(spec, situation),
        *_devices(spec, host),
        PivotRoot("."),
        *_inside(spec),
    ]


def _mounts(spec: Spec, situation: Situation) -> Iterator[Step]:
    for mount in spec.mounts:
        options = MountOptions.of(mount.options)
        if mount.is_bind:
            source = os.path.join(situation.bundle, mount.source)
            yield BindInside(source, mount.destination, options)
        elif mount.type != "cgroup":
            yield _filesystem(mount, options)


def _filesystem(mount: Mount, options: MountOptions) -> Step:
    return MountInside(mount.type, mount.destination, mount.source, options)


def _devices(spec: Spec, host: Host) -> Iterator[Step]:
    if enter_kinds(spec) & CLONE.NEWUSER:
        for device in DEFAULT_DEVICES:
            yield BindInside(device.path, device.path, MountOptions())
    else:
        yield MakeDevices(DEFAULT_DEVICES)
    yield MakeLinks()


def _inside(spec: Spec) -> Iterator[Step]:
    # What a path means is known now: these are the container's own.
    yield from map(Mask, spec.linux.masked_paths)
    yield from map(ReadonlyPath, spec.linux.readonly_paths)
    if spec.root.readonly:
        yield SetMountAttributes("/", MountOptions(set=MOUNT_ATTR.RDONLY))
