"""What each chapter needs from the machine: a table. The doctor goes through it.

A need is looked at in the Host and never tried here. What it says when it isn't met are
two texts: what was observed, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from labkit.doctor import remedies
from labkit.host import Host, Trial
from labkit.linux.flags import CAP, NamespaceType


@dataclass(frozen=True, slots=True)
class Need:
    """Something a chapter needs; `observed` is empty when it is there."""

    name: str
    observed: Callable[[Host], str]
    remedy: remedies.Remedy


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter: `needs` is what it can't be real without, `also` what a part needs."""

    number: str
    title: str
    needs: tuple[Need, ...] = ()
    also: tuple[Need, ...] = ()


def _trial(trial: Trial, host: Host) -> str:
    return host.trials.failure(trial)


def _may_change_root(host: Host) -> str:
    return "" if host.privilege.has(CAP.SYS_CHROOT) else "CAP_SYS_CHROOT is missing"


def _is_root(host: Host) -> str:
    # The plans of these chapters begin as root; only container() begins as anybody.
    return "" if host.privilege.has(CAP.SYS_ADMIN) else "you are not root"


def _has_busybox(host: Host) -> str:
    can_fetch = host.tool("apt-get") and host.tool("dpkg-deb")
    return "" if host.busybox or can_fetch else "no static busybox, and no apt-get"


def _has_all_kinds(host: Host) -> str:
    missing = [kind for kind in NamespaceType if kind not in host.privilege.kinds]
    return f"this Linux has no {', '.join(missing)} namespace" if missing else ""


def _ordinary_users_may(host: Host) -> str:
    own = host.user_namespaces
    only_root = own.unprivileged_clone is False or own.apparmor_restricts
    return "only root may make user namespaces here" if only_root else ""


def _any_overlay(host: Host) -> str:
    if host.trials.works(Trial.OVERLAY):
        return ""
    return host.trials.failure(Trial.OVERLAY_IN_USER_NAMESPACE)


def _upper_layers(host: Host) -> str:
    if host.state.filesystem == "overlay":
        return "the lab's state lies on an overlay"
    marks_of_root = host.trials.works(Trial.OVERLAY)
    on_tmpfs = host.state.filesystem == "tmpfs" and not host.linux_at_least(6, 6)
    if on_tmpfs and not marks_of_root:
        return "the lab's state lies on a tmpfs that keeps no attributes user.*"
    return ""


def _usable(controller: str, host: Host) -> str:
    if host.cgroups.usable(controller):
        return ""
    if not host.cgroups.known(controller):
        return f"this Linux offers no {controller} controller"
    return "no cgroup here is yours to change"


def _limit(name: str, controller: str) -> Need:
    return Need(name, partial(_usable, controller), remedies.controller(controller))


def _has_state(host: Host) -> str:
    return "" if host.state.writable else f"you can't write to {host.state.path}"


# fmt: off
STATE = Need("a place for the lab's files", _has_state,
             lambda host: "set LABKIT_STATE to a directory that you can write")
BUSYBOX = Need("a root filesystem", _has_busybox, remedies.busybox)
CHANGE_ROOT = Need("chroot", _may_change_root, remedies.root)
ROOT = Need("root", _is_root, remedies.root)
NAMESPACES = Need("namespaces", partial(_trial, Trial.NAMESPACES), remedies.namespaces)
USER_NAMESPACE = Need("user namespaces", partial(_trial, Trial.USER_NAMESPACE),
                      remedies.namespaces)
FOR_EVERYBODY = Need("user namespaces for everybody", _ordinary_users_may,
                     remedies.namespaces_for_everybody)
ALL_KINDS = Need("all eight kinds", _has_all_kinds,
                 lambda host: "boot Linux 5.6 or newer")
MOUNTS = Need("mounts", partial(_trial, Trial.MOUNTS), remedies.namespaces)
PROC = Need("a /proc of its own", partial(_trial, Trial.PROC), remedies.proc)
PIVOT_ROOT = Need("pivot_root", partial(_trial, Trial.PIVOT_ROOT), remedies.namespaces)
OVERLAY = Need("overlay mounts", _any_overlay, remedies.overlay)
UPPER = Need("upper directories", _upper_layers, lambda host:
             "set LABKIT_STATE to a directory on another filesystem: a disk, a volume")
MEMORY = _limit("memory limits", "memory")
PIDS = _limit("process limits", "pids")
CPU = _limit("CPU limits", "cpu")
IO = _limit("I/O limits", "io")
FREEZE = _limit("freezing", "freezer")
NFT = Need("nft", lambda host: "" if host.tool("nft") else "no program nft",
           lambda host: "sudo apt-get install nftables")

_CONTAINER = (STATE, BUSYBOX, NAMESPACES, MOUNTS, PROC, PIVOT_ROOT, OVERLAY, UPPER)
_LIMITS = (MEMORY, PIDS, CPU)

CHAPTERS = (
    Chapter("00", "Why containers", _CONTAINER, (ROOT, *_LIMITS)),
    Chapter("01", "A process", (STATE,)),
    Chapter("02", "chroot", (STATE, BUSYBOX, CHANGE_ROOT)),
    Chapter("03", "cgroups", (STATE, MEMORY, PIDS), (CPU, IO, FREEZE)),
    Chapter("04", "Namespaces", (STATE, BUSYBOX, NAMESPACES),
            (ROOT, USER_NAMESPACE, FOR_EVERYBODY, ALL_KINDS, PROC)),
    Chapter("05", "pivot_root and mounts",
            (STATE, BUSYBOX, NAMESPACES, MOUNTS, PIVOT_ROOT), (ROOT, PROC)),
    Chapter("06", "OverlayFS", (STATE, NAMESPACES, OVERLAY, UPPER), (ROOT,)),
    Chapter("07", "Your first container", _CONTAINER, (ROOT, *_LIMITS)),
    Chapter("08", "Privileges", (*_CONTAINER, ROOT), (USER_NAMESPACE,)),
    Chapter("09", "The runtime", (*_CONTAINER, ROOT), (MEMORY,)),
    Chapter("10", "Break out", (*_CONTAINER, ROOT), ()),
    Chapter("11", "Images", (STATE, BUSYBOX, NAMESPACES, OVERLAY, UPPER), (ROOT,)),
    Chapter("12", "Registries", (STATE, BUSYBOX)),
    Chapter("13", "Networks", (*_CONTAINER, ROOT), (NFT,)),
    Chapter("14", "Data that stays", (*_CONTAINER, ROOT)),
)
# fmt: on
