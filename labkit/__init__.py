"""labkit: learn how containers really work, by building one.

    errors, hints    every error in three lines; what an errno means for its call
    linux            system calls by their man-page names
    host, state      one probe of this machine; where the lab keeps its files
    plan             Step, Plan, Child, Handle: the four nouns
    primitives       one module for each chapter: root, namespaces, cgroups, overlay ...
    rootfs, sweep    a small root file system; finding and removing leftovers
    containers       the canonical plan of a container, with what it holds
    widgets          live views; the only package that knows Jupyter
    course           exercises, checks, progress
    lab, cli         what a chapter's cells and a terminal call

Imports go down only. A chapter imports names from here, and `lab`.
"""

from labkit.lazy import names_from as _names_from

TYPE_CHECKING = False  # without typing, whose import takes milliseconds
if TYPE_CHECKING:
    from labkit.errors import LabError
    from labkit.linux import CAP, CLONE, MNT, MS, Linux, NamespaceType
    from labkit.plan import Child, Plan
    from labkit.plan.step import Step, step
    from labkit.primitives.cgroups import Cgroup
    from labkit.primitives.mounts import (
        BindMount,
        MakePrivate,
        Mask,
        MountFilesystem,
        ReadonlyPath,
    )
    from labkit.primitives.namespaces import (
        JoinNamespaces,
        Namespaces,
        SetHostname,
        Unshare,
    )
    from labkit.primitives.overlay import Overlay
    from labkit.primitives.overlay_mount import MountOverlay
    from labkit.primitives.process import Exec, Fork
    from labkit.primitives.root import Chdir, Chroot, MakeDir, PivotRoot

del TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "CAP",
    "CLONE",
    "MNT",
    "MS",
    "BindMount",
    "Cgroup",
    "Chdir",
    "Child",
    "Chroot",
    "Container",
    "Exec",
    "Fork",
    "JoinNamespaces",
    "LabError",
    "Linux",
    "MakeDir",
    "MakePrivate",
    "Mask",
    "MountFilesystem",
    "MountOverlay",
    "NamespaceType",
    "Namespaces",
    "Overlay",
    "PivotRoot",
    "Plan",
    "ReadonlyPath",
    "SetHostname",
    "Step",
    "Unshare",
    "container",
    "step",
]


# Where each name lives. Loaded when it is first asked for: a command that starts for
# every container must not wait for what it doesn't use.
_HOMES = {
    "containers": ("Container", "container"),
    "errors": ("LabError",),
    "linux": ("CAP", "CLONE", "MNT", "MS", "Linux", "NamespaceType"),
    "plan": ("Child", "Plan", "Step", "step"),
    "primitives.cgroups": ("Cgroup",),
    "primitives.mounts": (
        "BindMount",
        "MakePrivate",
        "Mask",
        "MountFilesystem",
        "ReadonlyPath",
    ),
    "primitives.namespaces": (
        "JoinNamespaces",
        "Namespaces",
        "SetHostname",
        "Unshare",
    ),
    "primitives.overlay": ("Overlay",),
    "primitives.overlay_mount": ("MountOverlay",),
    "primitives.process": ("Exec", "Fork"),
    "primitives.root": ("Chdir", "Chroot", "MakeDir", "PivotRoot"),
}

__getattr__ = _names_from(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
