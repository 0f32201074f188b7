"""Ways out by files: a root that was only changed, descriptors, links, directories."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from labkit.plan import Plan, Step
from labkit.primitives.inside_root import MakeDirectoryInside
from labkit.primitives.leftovers import CheckDirectory, CloseOnExec
from labkit.primitives.mount_inside import MountInside
from labkit.primitives.process import Exec
from labkit.primitives.program import FindProgram
from labkit.primitives.root import Chdir, Chroot, MakeDir, PivotRoot, escape
from tests.escapes.book import Attack, change, in_another_way, without
from tests.escapes.outside import Outside
from tests.kernel.bundles import Bundle


def by_the_chroot_walk(bundle: Bundle, outside: Outside) -> bool:
    """Chapter 02's four calls, then a file of the host's."""
    read = Exec(["cat", str(outside.file)])
    change(bundle, lambda plan: Plan(*begun(plan), escape(), read))
    return outside.secret in bundle.run("true")


def by_a_leaked_descriptor(bundle: Bundle, outside: Outside) -> bool:
    """A descriptor that the runtime forgot leads to the host's files."""
    with outside.descriptor() as fd:
        return outside.secret in bundle.run("cat", f"/proc/self/fd/{fd}/secret")


def by_the_working_directory(bundle: Bundle, outside: Outside) -> bool:
    """The same descriptor, as the directory where the process begins."""
    with outside.descriptor() as fd:
        bundle.process["cwd"] = f"/proc/self/fd/{fd}"
        return outside.secret in bundle.run("cat", "secret")


def by_a_link_at_a_mounts_target(bundle: Bundle, outside: Outside) -> bool:
    """The image has a link where a mount's directory is to be made."""
    made = outside.directory / "made-by-the-attack"
    (bundle.path / "rootfs" / "data").symlink_to(outside.directory)
    mount = {"destination": f"/data/{made.name}", "type": "tmpfs", "source": "tmpfs"}
    bundle.document["mounts"].append(mount)
    try:
        bundle.run("true")
    finally:
        there = made.exists()
        if there:
            made.rmdir()
    return there


def begun(plan: Plan) -> tuple[Step, ...]:
    """Return all steps of a plan but its program."""
    return tuple(s for s in plan.steps[:-1] if not isinstance(s, FindProgram))


def _chroot(step: Step) -> Plan:
    return Plan(Chroot("."), Chdir("/"))


def _follow_links(step: Step) -> Plan:
    mount = cast(MountInside, step)
    if not mount.target.startswith("/data"):
        return Plan(mount)
    return Plan(MakeDir(f".{mount.target}"), replace(mount, in_root=False))


ATTACKS = (
    Attack(
        "the walk out of a chroot",
        "chroot(2), NOTES; chapter 02",
        by_the_chroot_walk,
        {"PivotRoot": in_another_way(PivotRoot, _chroot)},
    ),
    Attack(
        "a leaked descriptor",
        "CVE-2024-21626, CVE-2016-9962",
        by_a_leaked_descriptor,
        {"CloseOnExec": without(CloseOnExec)},
    ),
    Attack(
        "a working directory outside",
        "CVE-2024-21626",
        by_the_working_directory,
        {
            "CheckDirectory": without(CheckDirectory),
            "MakeDirectoryInside": without(MakeDirectoryInside),
        },
    ),
    Attack(
        "a link at a mount's target",
        "CVE-2021-30465, CVE-2019-19921",
        by_a_link_at_a_mounts_target,
        {"targets resolved inside": in_another_way(MountInside, _follow_links)},
    ),
)
