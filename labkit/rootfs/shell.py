"""Find a program inside a root, before a process enters it. Chapter 02.

resolve          follow a path as a process inside would: links begin at the root
require_shell    a root without a shell gets an error of its own, and not an ENOENT
                 that could mean three things
"""

from __future__ import annotations

import os
import stat

from labkit.errors import HostError
from labkit.host.elf import is_program, loader
from labkit.linux.views import ContainerPath, HostPath

_MAX_LINKS = 40  # path_resolution(7)


def resolve(root: HostPath, path: ContainerPath) -> HostPath | None:
    """Return where a container's path is on the host; None when it leads nowhere.

    Args: root [host path of the root]; path [container path].
    Returns: host path without links below root, or None: missing, or links in a circle.
    Raises: OSError when a directory can't be read.
    Needs: search permission.
    Kernel: path_resolution(7).
    Left out: a process that moves names meanwhile; openat2(2) guards against it.
    """
    done: list[str] = []
    todo = path.split("/")[::-1]
    links = 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            # At the root it leads to the root itself, as for the process inside.
            done = done[:-1]
            continue
        here = os.path.join(root, *done, part)
        if not os.path.lexists(here):
            return None
        if os.path.islink(here):
            links += 1
            if links > _MAX_LINKS:
                return None
            target = os.readlink(here)
            done = [] if target.startswith("/") else done
            todo += target.split("/")[::-1]
        else:
            done.append(part)
    return HostPath(os.path.join(root, *done))


def require_shell(
    root: HostPath, shell: ContainerPath = ContainerPath("/bin/sh")
) -> ContainerPath:
    """Return the shell's path inside the root; raise if it couldn't be started there.

    Args: root [host path of the root]; shell [container path].
    Returns: `shell`, unchanged.
    Raises: HostError when there is no such root, no shell in it, when it isn't
        executable, or when the loader that it asks for isn't in the root.
    Needs: read permission.
    Kernel: execve(2), ENOENT and EACCES.
    """
    if not os.path.isdir(root):
        raise _no_shell(f"root {root}: no such directory", "there is nothing to enter")
    found = resolve(root, shell)
    if found is None:
        raise _no_shell(
            f"root {root}: no {shell} in it",
            "execve would end with ENOENT: there is no program to start",
        )
    if not _executable(found):
        raise _no_shell(
            f"root {root}: {shell} is not executable", "execve would end with EACCES"
        )
    missing = _missing_loader(root, found)
    if missing:
        raise _no_shell(
            f"root {root}: {shell} needs {missing}, which isn't in it",
            "execve would end with ENOENT, although the program is there",
        )
    return shell


def _executable(path: HostPath) -> bool:
    # The mode and not access(2): for root access(2) is never strict about directories.
    mode = os.stat(path).st_mode
    return stat.S_ISREG(mode) and bool(mode & 0o111)


def _missing_loader(root: HostPath, program: HostPath) -> str | None:
    if not is_program(program):
        return None
    wanted = loader(program)
    if wanted is None or resolve(root, ContainerPath(wanted)):
        return None
    return wanted


def _no_shell(message: str, meaning: str) -> HostError:
    return HostError(
        message,
        'take a root that the lab made: rootfs("alpine").path',
        "chapter 02",
        meaning=meaning,
    )
