"""SetSecurityLabel: what AppArmor or SELinux shall hold the program to. Chapter 08.

A security module of the kernel decides by a label of the process; the next execve takes
the one that was written here.
Left out: making profiles; labels of files and mounts.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.linux.syscalls import Linux
from labkit.plan.step import Before, Rule, Step
from labkit.primitives.root import PivotRoot
from labkit.values import dataclass

APPARMOR, SELINUX = "apparmor", "selinux"
# Since Linux 5.8 AppArmor has a directory of its own, so that both can be there.
_FILES = {
    APPARMOR: "/proc/self/attr/apparmor/exec",
    SELINUX: "/proc/self/attr/exec",
}


@dataclass(frozen=True, slots=True, repr=False)
class SetSecurityLabel(Step):
    """Have the program held to a profile (AppArmor) or a label (SELinux).

    Args: module [APPARMOR or SELINUX]; label [the profile's name; the label].
    Raises: ENOENT or EINVAL where Linux runs without that module, ENOENT for a profile
        that isn't loaded.
    Needs: what the present profile allows.
    Kernel: Documentation/admin-guide/LSM; aa_change_onexec(2), setexeccon(3).
    Spec: OCI runtime, process.apparmorProfile and process.selinuxLabel.
    """

    module: str
    label: str

    man: ClassVar[tuple[str, ...]] = ("aa_change_onexec(2)", "setexeccon(3)")
    needs: ClassVar[str] = "what the present profile allows"
    rules: ClassVar[tuple[Rule, ...]] = (
        Before(PivotRoot, "the container's own proc could be a file of the image's"),
    )

    def describe(self) -> str:
        return f"hold the program to the {self.module} label {self.label}"

    def apply(self, linux: Linux) -> int | None:
        text = f"exec {self.label}" if self.module == APPARMOR else self.label
        linux.write_file(_FILES[self.module], text)
        return None
