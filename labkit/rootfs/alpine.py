"""What is in the lab's small root: busybox, its names, some files. Chapter 02.

It looks like Alpine Linux, the root that half of all images begin with, and says that
it isn't: there is no `apk` in it, and no package came from Alpine.

Left out: musl and Alpine's packages; shadow passwords; devices, which chapter 05 makes.
"""

from __future__ import annotations

import os
from pathlib import Path

from labkit.linux.views import ContainerPath
from labkit.rootfs.busybox import Busybox
from labkit.rootfs.entries import Entry, directory, file, link

ABOUT = "the lab's own, made from busybox; no apk"

_DIRECTORIES = (
    "bin", "dev", "etc", "home", "lib", "media", "mnt", "opt", "proc", "run", "sbin",
    "srv", "sys", "usr", "usr/bin", "usr/lib", "usr/local", "usr/local/bin",
    "usr/local/sbin", "usr/sbin", "var", "var/lib", "var/log",
)  # fmt: skip
# Everybody may write there, and only the owner may remove: the sticky bit.
_FOR_EVERYBODY = ("tmp", "var/tmp")

_FILES = {
    "etc/os-release": """\
NAME="labkit alpine-like"
ID=labkit
PRETTY_NAME="labkit alpine-like: busybox {version}, made by the lab, no apk"
""",
    "etc/motd": """\
A small root that the lab made from busybox. It looks like Alpine Linux and is none:
there is no apk, and nothing to install. Look around with ls, ps, mount and id.
""",
    "etc/passwd": """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/sbin/nologin
nobody:x:65534:65534:nobody:/:/sbin/nologin
""",
    "etc/group": """\
root:x:0:
daemon:x:1:
tty:x:5:
users:x:100:
nogroup:x:65534:
""",
    "etc/hosts": """\
127.0.0.1\tlocalhost
::1\tlocalhost
""",
    "etc/resolv.conf": """\
# No name server yet: the lab gives a container its network in a later chapter.
""",
    "etc/profile": """\
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PS1='\\h:\\w\\$ '
umask 022
""",
}


def alpine(busybox: Busybox) -> tuple[Entry, ...]:
    """Return the alpine-like root as entries, parents before children.

    Args: busybox [its program is read, and stands behind every applet's name].
    Returns: the same entries for the same busybox, wherever and whenever made.
    Raises: OSError when the program can't be read.
    Needs: nothing.
    """
    program = Path(busybox.path).read_bytes()
    files = (
        file(path, text.replace("{version}", busybox.version).encode())
        for path, text in _FILES.items()
    )
    return (
        directory(""),
        *(directory(path) for path in _DIRECTORIES),
        *(directory(path, 0o1777) for path in _FOR_EVERYBODY),
        directory("root", 0o700),
        file("bin/busybox", program, 0o755),
        *files,
        *(_applet(path) for path in busybox.applets if _belongs(path)),
    )


def _applet(path: ContainerPath) -> Entry:
    # Relative, because an absolute link means another file when seen from the host.
    return link(path, os.path.relpath("bin/busybox", os.path.dirname(path)))


def _belongs(path: ContainerPath) -> bool:
    # Not busybox itself, and not /linuxrc, which only an old initial ramdisk has.
    return path != "bin/busybox" and os.path.dirname(path) in _DIRECTORIES
