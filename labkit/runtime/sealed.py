"""Our own program, where nobody can write to it. Chapter "The runtime".

    run_from_a_sealed_copy()     the first thing that a program does which will enter
                                 containers: it starts again from a copy in memory

A process of ours that becomes a container's program is, until then, this Python; and
/proc/self/exe leads to its file on the host. An image whose program is a link to
/proc/self/exe, or a script that begins with #!/proc/self/exe, so runs the host's Python
with the image's libraries, and can open that file, wait until nobody runs it, and write
into it: the next start on the host is the attacker's (CVE-2019-5736). A sealed copy in
memory has no other name, and can't be written by anybody, root included.

Left out: the libraries that Python maps; those aren't reached by /proc/self/exe.
"""

from __future__ import annotations

import fcntl
import os
import sys

from labkit.errors import syscall_error

_NAME = "labkit-python"
_LINK = f"/memfd:{_NAME} (deleted)"
_AT_ONCE = 1 << 30
_SEALS = (
    fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
)


def is_sealed() -> bool:
    """Say whether this process's program is such a copy."""
    return os.readlink("/proc/self/exe") == _LINK


def sealed_copy() -> int:
    """Return a descriptor of a copy of this process's program that can't be changed.

    Raises: EMFILE, ENOMEM.
    Needs: nothing.
    Kernel: memfd_create(2), F_ADD_SEALS of fcntl(2).
    """
    copy = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open("/proc/self/exe", "rb") as program:
        while os.sendfile(copy, program.fileno(), None, _AT_ONCE):
            pass
    fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
    return copy


def run_from_a_sealed_copy() -> None:
    """Start this process again from a sealed copy of its program, unless it is one.

    Only at the very start: nothing of the process is kept but its arguments, its
    environment, and descriptors that stay open over exec.

    Raises: what sealed_copy raises; ENOEXEC.
    Needs: /proc.
    Kernel: execveat(2), which fexecve(3) uses.
    """
    if is_sealed():
        return
    with open("/proc/self/cmdline", "rb") as file:  # with the interpreter's own options
        arguments = file.read().split(b"\0")[:-1]
    # Python looks for its libraries beside the program that argv[0] names.
    arguments[0] = os.fsencode(sys.executable)
    copy = sealed_copy()
    try:
        os.execve(copy, arguments, os.environ)
    except OSError as error:
        raise syscall_error("execve(sealed copy)", error.errno or 0) from None
