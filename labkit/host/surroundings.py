"""What surrounds the lab: the distribution, programs, a container, a virtual machine.

Each reader takes a root directory, so that tests bring their own machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from labkit.host.elf import is_static
from labkit.linux.views import HostPath
from labkit.values import dataclass

TOOLS = (
    "apt-get", "busybox", "chromium", "crun", "docker", "dpkg-deb", "ip", "newuidmap",
    "nft", "podman", "runc", "skopeo", "strace", "systemd-run", "unshare",
)  # fmt: skip
_SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin")
# fmt: off
# Families of distributions, by ID and ID_LIKE, and how they install a static busybox.
_INSTALL_BUSYBOX = (
    (("debian", "ubuntu"), "sudo apt-get install busybox-static"),
    (("fedora", "rhel"), "sudo dnf install busybox"),
    (("alpine",), "apk add busybox-static"),
    (("arch",), "sudo pacman -S busybox"),
    (("suse", "opensuse"), "sudo zypper install busybox-static"),
)
# fmt: on
# How each engine marks the file trees that it makes.
_CONTAINER_MARKS = (("run/.containerenv", "podman"), (".dockerenv", "docker"))
_VM_VENDORS = (
    "amazon ec2", "bochs", "firecracker", "google", "innotek", "kvm", "microsoft",
    "qemu", "virtualbox", "vmware", "xen",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Distribution:
    """Which distribution it is: the fields of os-release(5)."""

    id: str = "linux"
    version: str = ""
    like: tuple[str, ...] = ()

    def is_like(self, *families: str) -> bool:
        """Say whether it is one of these or descends from one."""
        return bool({self.id, *self.like} & set(families))

    @property
    def install_busybox(self) -> str:
        """The command that installs a busybox that needs no other file."""
        commands = (line for names, line in _INSTALL_BUSYBOX if self.is_like(*names))
        return next(commands, "install a statically linked busybox")

    def __str__(self) -> str:
        return f"{self.id} {self.version}".strip()


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that is installed, and where."""

    name: str
    path: HostPath


@dataclass(frozen=True, slots=True)
class Place:
    """Where this Linux runs."""

    container: str = ""  # the engine's name, "unknown" when it left no mark, "" outside
    virtual_machine: bool = False
    binder: bool = False
    wsl: bool = False
    systemd: bool = False  # systemd is PID 1 and takes requests
    lab_vm: bool = False  # the lab's own VM: see labkit.vm

    def __str__(self) -> str:
        names = (
            (self.lab_vm, "in the lab VM"),
            (self.binder, "on Binder"),
            (self.wsl, "in WSL"),
            (bool(self.container), f"in a container ({self.container})"),
            (self._in_another_vm, "in a virtual machine"),
        )
        return ", ".join(name for holds, name in names if holds) or "on real hardware"

    @property
    def _in_another_vm(self) -> bool:
        return self.virtual_machine and not (self.wsl or self.lab_vm)


def read_place(
    root: HostPath, environ: Mapping[str, str], release: str, *, contained: bool
) -> Place:
    """Read where this Linux runs.

    Args: root [host path]; environ [the caller's]; release [of the kernel];
        contained [not in the machine's first PID, IPC or UTS namespace]. Marks alone
        prove nothing: a virtual machine can start from a container's file tree.
    Returns: the place.
    Raises: nothing; a file that is missing means no.
    Needs: nothing.
    Kernel: namespaces(7); sd_booted(3) for /run/systemd/system.
    """
    return Place(
        container=_container(root, environ) if contained else "",
        virtual_machine=_is_virtual_machine(root),
        binder=any(name.startswith("BINDER_") for name in environ),
        wsl="microsoft" in release.lower(),
        systemd=os.path.isdir(os.path.join(root, "run/systemd/system")),
        lab_vm="LABKIT_VM" in environ,
    )


def read_distribution(root: HostPath) -> Distribution:
    """Read os-release(5), from /etc or, without it, from /usr/lib."""
    text = read_text(root, "etc/os-release") or read_text(root, "usr/lib/os-release")
    fields = dict(_assignments(text))
    return Distribution(
        fields.get("ID", "linux"),
        fields.get("VERSION_ID", ""),
        tuple(fields.get("ID_LIKE", "").split()),
    )


def read_swap_bytes(root: HostPath) -> int:
    """Return how much swap there is, from /proc/swaps [bytes]."""
    rows = read_text(root, "proc/swaps").splitlines()[1:]
    return sum(int(row.split()[2]) for row in rows) * 1024


def find_tools(environ: Mapping[str, str]) -> tuple[Tool, ...]:
    """Return the programs of TOOLS that are installed, sbin included."""
    import shutil  # here, because a runtime waits for its import in vain

    path = os.pathsep.join((environ.get("PATH", ""), *_SYSTEM_DIRECTORIES))
    found = ((name, shutil.which(name, path=path)) for name in TOOLS)
    return tuple(Tool(name, HostPath(where)) for name, where in found if where)


def find_static_busybox(environ: Mapping[str, str]) -> HostPath | None:
    """Return a busybox that runs with no other file beside it, or None."""
    # The system's first: what the user has in a directory of their own comes after it.
    directories = (*_SYSTEM_DIRECTORIES, *environ.get("PATH", "").split(os.pathsep))
    candidates = (
        HostPath(os.path.join(directory, name))
        for directory in directories
        for name in ("busybox", "busybox.static")
        if os.path.isabs(directory)
    )
    return next((path for path in candidates if is_static(path)), None)


def read_text(root: HostPath, name: str) -> str:
    """Return a file's text, or "" when this Linux doesn't have the file."""
    try:
        with open(os.path.join(root, name), errors="replace") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        # ENOENT: a switch that this Linux doesn't have. EACCES: hidden from this user.
        return ""


def _container(root: HostPath, environ: Mapping[str, str]) -> str:
    for mark, name in _CONTAINER_MARKS:
        if os.path.exists(os.path.join(root, mark)):
            return name
    return environ.get("container", "unknown")


def _is_virtual_machine(root: HostPath) -> bool:
    vendor = read_text(root, "sys/class/dmi/id/sys_vendor").lower()
    by_vendor = any(mark in vendor for mark in _VM_VENDORS)
    by_tree = os.path.isdir(os.path.join(root, "proc/device-tree/hypervisor"))
    return by_vendor or by_tree or " hypervisor" in read_text(root, "proc/cpuinfo")


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            yield name.strip(), value.strip().strip("\"'")
