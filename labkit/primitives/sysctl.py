"""Settings of the kernel that belong to a namespace. Chapter "Privileges".

    SetSysctl("net.ipv4.ip_forward", "1")     in the inside's network namespace

Most settings in /proc/sys are the whole machine's: a container that could set those
would set them for everyone. `namespace_of` says to which namespace one belongs.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.linux.flags import NamespaceType
from labkit.linux.syscalls import Linux
from labkit.plan.step import After, Before, Rule, Step
from labkit.primitives.hidden_paths import ProtectPaths
from labkit.primitives.root import PivotRoot
from labkit.values import dataclass

# ipc_namespaces(7), uts_namespaces(7); everything below net. is the network's.
_IPC = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
    "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
)  # fmt: skip
_UTS = ("kernel.domainname", "kernel.hostname")


@dataclass(frozen=True, slots=True, repr=False)
class SetSysctl(Step):
    """Set one of the kernel's settings, in the inside's own namespaces.

    Args: name ["net.ipv4.ip_forward", or with slashes]; value.
    Raises: ENOENT for a name that this Linux doesn't have, EINVAL, EACCES.
    Needs: CAP_NET_ADMIN or CAP_SYS_ADMIN in the owner of the namespace.
    Kernel: proc_sys(5). Spec: OCI runtime, linux.sysctl.
    """

    name: str
    value: str

    man: ClassVar[tuple[str, ...]] = ("proc_sys(5)", "sysctl(8)")
    needs: ClassVar[str] = "CAP_NET_ADMIN or CAP_SYS_ADMIN in the namespace's owner"
    rules: ClassVar[tuple[Rule, ...]] = (
        After(PivotRoot, "the inside's own /proc is the one of its namespaces"),
        Before(ProtectPaths, "/proc/sys can't be written after it"),
    )

    def describe(self) -> str:
        return f"set {self.name} to {self.value}"

    def apply(self, linux: Linux) -> int | None:
        linux.write_file(f"/proc/sys/{path_of(self.name)}", self.value)
        return None


def path_of(name: str) -> str:
    """Return a setting's path below /proc/sys; dots and slashes change places."""
    if "/" in name.split(".", 1)[0]:
        return name
    return name.translate(str.maketrans("./", "/."))


def namespace_of(name: str) -> NamespaceType | None:
    """Return the kind of namespace that a setting belongs to; None for the machine."""
    dotted = path_of(name).replace("/", ".")
    if dotted in _IPC or dotted.startswith("fs.mqueue."):
        return NamespaceType.IPC
    if dotted in _UTS:
        return NamespaceType.UTS
    return NamespaceType.NETWORK if dotted.startswith("net.") else None
