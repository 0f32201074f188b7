"""The example document: what `labkit-oci spec` writes, as runc's does.

It holds what every container needs: five namespaces, the usual file systems, Docker's
capabilities, masked paths. Whoever reads it learns what there is to be said.
"""

from __future__ import annotations

from typing import Any

from labkit.runtime.spec.document import VERSION

CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
)
READONLY = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOFILE = {"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}


def example(*, rootless: bool = False) -> dict[str, Any]:
    """Return the document, for root or for an ordinary user."""
    document = {
        "ociVersion": VERSION,
        "process": _process(),
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "labkit",
        "mounts": _mounts(),
        "linux": _linux(),
    }
    return _for_an_ordinary_user(document) if rootless else document


def _process() -> dict[str, Any]:
    sets = ("bounding", "effective", "permitted")
    return {
        "terminal": True,
        "user": {"uid": 0, "gid": 0},
        "args": ["sh"],
        "env": [_PATH, "TERM=xterm"],
        "cwd": "/",
        "capabilities": {name: list(CAPABILITIES) for name in sets},
        "rlimits": [_NOFILE],
        "noNewPrivileges": True,
    }


def _mounts() -> list[dict[str, Any]]:
    strict = ["nosuid", "noexec", "nodev"]
    terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    return [
        _mount("/proc", "proc"),
        _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount("/dev/pts", "devpts", *terminals, "gid=5"),
        _mount("/dev/shm", "tmpfs", *strict, "mode=1777", "size=65536k", source="shm"),
        _mount("/dev/mqueue", "mqueue", *strict),
        _mount("/sys", "sysfs", *strict, "ro"),
        _mount("/sys/fs/cgroup", "cgroup", *strict, "relatime", "ro"),
    ]


def _mount(place: str, fstype: str, *options: str, source: str = "") -> dict[str, Any]:
    mount = {"destination": place, "type": fstype, "source": source or fstype}
    return {**mount, "options": list(options)} if options else mount


def _linux() -> dict[str, Any]:
    kinds = ("pid", "network", "ipc", "uts", "mount", "cgroup")
    return {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": kind} for kind in kinds],
        "maskedPaths": list(MASKED),
        "readonlyPaths": list(READONLY),
    }


def _for_an_ordinary_user(document: dict[str, Any]) -> dict[str, Any]:
    # Who that is only the caller knows: `labkit-oci spec --rootless` fills in the ids.
    linux = document["linux"]
    kinds = [row["type"] for row in linux["namespaces"] if row["type"] != "network"]
    linux["namespaces"] = [{"type": kind} for kind in (*kinds, "user")]
    linux["resources"] = {}
    own = [{"containerID": 0, "hostID": 0, "size": 1}]
    linux["uidMappings"], linux["gidMappings"] = own, list(own)
    # gid=5 isn't mapped, and sysfs belongs to the owner of the network namespace.
    for mount in document["mounts"]:
        mount["options"] = [o for o in mount.get("options", ()) if o != "gid=5"]
    sysfs = next(mount for mount in document["mounts"] if mount["type"] == "sysfs")
    sysfs.update(type="none", source="/sys")
    sysfs["options"] = ["rbind", "nosuid", "noexec", "nodev", "ro"]
    return document
