"""What to do about what a machine doesn't permit: a command, or who can give it.

Each remedy is a function of the Host: the same thing is missing for different reasons
on a laptop, in a container and on Binder. The first row that fits is taken.
"""

from __future__ import annotations

from collections.abc import Callable

from labkit.host import Host, Layout, Trial

Remedy = Callable[[Host], str]

AS_ROOT = "start the lab as root: sudo make lab"
OWN_CGROUP = "systemd-run --user --scope -p Delegate=yes make lab"
DELEGATE_ALL = (
    "sudo systemctl edit user@.service, write [Service] and "
    "Delegate=cpu cpuset io memory pids, log in again; then: " + OWN_CGROUP
)
PRIVILEGED = "start the container with --privileged"
ELSEWHERE = "on Binder choose the kernel Python (lab VM), top right in the notebook"
_CLONE = "sudo sysctl kernel.unprivileged_userns_clone=1"
_APPARMOR = "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 24.04)"


def root(host: Host) -> str:
    """Say how this user becomes root: here, or in the lab VM."""
    rows = (
        (host.place.binder, ELSEWHERE),
        (bool(host.place.container), f"{PRIVILEGED}, as root"),
    )
    return _first(rows, f"{AS_ROOT}; or in the lab VM: make lab TIER=vm")


def own_cgroup(host: Host) -> str:
    """Say how this user gets a cgroup of their own with the usual controllers."""
    rows = (
        (host.place.binder, ELSEWHERE),
        (
            bool(host.place.container),
            f"{PRIVILEGED}, so that /sys/fs/cgroup is writable",
        ),
        (
            host.cgroups.layout is Layout.NONE,
            "sudo mount -t cgroup2 none /sys/fs/cgroup",
        ),
        (host.privilege.over_the_machine, "mount -o remount,rw /sys/fs/cgroup"),
        (
            host.cgroups.layout is not Layout.UNIFIED,
            f"{AS_ROOT} (cgroup v1 isn't shared)",
        ),
        (not host.place.systemd, AS_ROOT),
        (host.cgroups.usable("freezer"), DELEGATE_ALL),
    )
    return _first(rows, OWN_CGROUP)


def controller(name: str) -> Remedy:
    """Return the remedy for one controller: this Linux lacks it, or the user does."""

    def remedy(host: Host) -> str:
        if not host.cgroups.known(name):
            return _BOOT.get(name, f"boot a Linux that has the {name} controller")
        return own_cgroup(host)

    return remedy


# Some distributions build it and switch it off: Raspberry Pi OS, for one.
_BOOT = {
    "memory": "boot Linux with cgroup_enable=memory on its command line",
}


def namespaces(host: Host) -> str:
    """Say which switch forbids namespaces to this user, and how to turn it."""
    own = host.user_namespaces
    rows = (
        (host.place.binder, ELSEWHERE),
        (bool(host.place.container), PRIVILEGED),
        (own.limit == 0, "sudo sysctl user.max_user_namespaces=15000"),
        (own.unprivileged_clone is False, _CLONE),
        (
            bool(own.apparmor_restricts) and not host.privilege.over_the_machine,
            _APPARMOR,
        ),
        (
            host.privilege.over_the_machine,
            "give this user CAP_SYS_ADMIN, or boot another Linux",
        ),
    )
    return _first(rows, AS_ROOT)


def namespaces_for_everybody(host: Host) -> str:
    """Say how to let an ordinary user make user namespaces: root may anyway."""
    return _CLONE if host.user_namespaces.unprivileged_clone is False else _APPARMOR


def busybox(host: Host) -> str:
    """Say how to install a busybox."""
    return host.distribution.install_busybox


def overlay(host: Host) -> str:
    """Say how to get overlay mounts."""
    rows = (
        (host.place.binder, ELSEWHERE),
        (bool(host.place.container), PRIVILEGED),
        (host.privilege.over_the_machine, "modprobe overlay"),
        (not host.linux_at_least(5, 11), f"{AS_ROOT} (others need Linux 5.11)"),
        (not host.trials.works(Trial.USER_NAMESPACE), namespaces(host)),
    )
    return _first(rows, "sudo modprobe overlay")


def proc(host: Host) -> str:
    """Say how to get a whole /proc: beside a masked one Linux mounts no other."""
    inside = f"{PRIVILEGED}, or with --security-opt systempaths=unconfined"
    rows = ((host.place.binder, ELSEWHERE), (bool(host.place.container), inside))
    return _first(rows, namespaces(host))


def _first(rows: tuple[tuple[bool, str], ...], otherwise: str) -> str:
    return next((text for holds, text in rows if holds), otherwise)
