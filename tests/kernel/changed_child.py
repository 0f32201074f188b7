"""A forked child in a user namespace and a mount namespace of its own, for tests."""

from __future__ import annotations

import os
from collections.abc import Callable

from labkit.linux import CLONE, MS, Linux


def in_child(function: Callable[[Linux], str]) -> str:
    """Run a function in the child; return its words, or the error that it raised."""
    read_fd, write_fd = os.pipe()
    uid, gid = os.getuid(), os.getgid()
    child = os.fork()
    if child == 0:
        try:
            linux = Linux(forked=True)
            linux.unshare(CLONE.NEWUSER | CLONE.NEWNS)
            linux.write_file("/proc/self/setgroups", "deny")
            linux.write_file("/proc/self/uid_map", f"0 {uid} 1")
            linux.write_file("/proc/self/gid_map", f"0 {gid} 1")
            linux.mount(None, "/", None, MS.REC | MS.PRIVATE, None)
            os.write(write_fd, function(linux).encode())
        except BaseException as error:
            os.write(write_fd, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write_fd)
    with os.fdopen(read_fd) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said
