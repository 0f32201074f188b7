"""Root filesystems that the lab makes itself, with no internet. Layer 5, chapter 02.

rootfs("alpine")      make it, or verify the one that is there
    .path .tree() .copy(to) .remove()
available()           what can be made
require_shell(path)   a clear error for a root that can't run a shell

busybox    finds or fetches the one program          entries    a tree as a value
alpine     what is in the root                       drawing    a tree as text
root_filesystem   made once, verified on every use   shell      programs in a root
"""

from labkit.rootfs.drawing import Drawing
from labkit.rootfs.root_filesystem import RootFilesystem, available, rootfs
from labkit.rootfs.shell import require_shell, resolve

__all__ = [
    "Drawing",
    "RootFilesystem",
    "available",
    "require_shell",
    "resolve",
    "rootfs",
]
