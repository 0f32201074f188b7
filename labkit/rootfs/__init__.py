"""Root filesystems that the lab makes itself, with no internet. Layer 5, chapter 02.

    rootfs("alpine")      make it, or verify the one that is there
        .path .tree() .copy(to) .remove()
    available(), find()   what can be made, made or not
    require_shell(path)   a clear error for a root that can't run a shell

Modules: busybox finds or fetches the one program; alpine says what is in the root;
entries holds a tree as a value; root_filesystem makes it once and verifies it on every
use; drawing shows it as text; shell finds programs in it; box is a copy to damage.
"""

from labkit.rootfs.root_filesystem import RootFilesystem, available, find, rootfs
from labkit.rootfs.shell import require_shell, resolve

__all__ = [
    "RootFilesystem",
    "available",
    "find",
    "require_shell",
    "resolve",
    "rootfs",
]
