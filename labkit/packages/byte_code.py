"""Byte code for an unpacked Python, made by that Python itself.

A package brings sources only, and compiles them when it is installed. In an image that
would be left to each container: a web server in Python then starts six times as slowly.

    <loader> --library-path ... usr/bin/python3 -m compileall ...

The program is started by its own loader with its own libraries, where it lies: nothing
of this machine's Python is used, and no root is needed.

Kernel: ld.so(8). Spec: PEP 552, unchecked: no time of a source is in the result.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from labkit.errors import HostError
from labkit.host.elf import loader
from labkit.linux.views import HostPath

_TIMEOUT_S = 300
_OPTIONS = ("-q", "-f", "--invalidation-mode", "unchecked-hash")


def compile_python(root: HostPath, python: str, paths: Sequence[str]) -> list[str]:
    """Compile the sources of an unpacked Python.

    Args: root [host path of unpacked packages]; python [relative to it: the program];
        paths [relative to it: the program, its loader, its libraries, the sources].
    Returns: the byte code's paths, relative to root.
    Raises: HostError when it doesn't run here, or the disk is full.
    Needs: nothing.
    """
    sources = [path for path in paths if path.endswith(".py")]
    folders = {os.path.dirname(path) for path in paths if ".so" in path}
    program = _inside(root, python)
    start = _inside(root, (loader(program) or "").lstrip("/"))
    where = ":".join(os.path.join(root, folder) for folder in sorted(folders))
    argv = [start, "--library-path", where, program, "-S", "-s", "-m", "compileall"]
    argv += [*_OPTIONS, "-s", root, "-p", "/", "-i", "-"]
    _run(argv, root, "\n".join(os.path.join(root, path) for path in sources))
    places = (os.path.join(os.path.dirname(path), "__pycache__") for path in sources)
    return [
        f"{place}/{name}"
        for place in sorted(set(places))
        for name in sorted(os.listdir(os.path.join(root, place)))
    ]


def _run(argv: Sequence[str], root: HostPath, files: str) -> None:
    # Without a seed, sets of constants would be in another order each time.
    own = {"PYTHONHOME": f"{root}/usr", "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        argv, input=files, env=own, capture_output=True, text=True,
        timeout=_TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = (done.stderr or done.stdout).splitlines()
        raise HostError(
            "compileall: the unpacked Python failed",
            "see whether the disk is full: df -h",
            meaning=said[-1] if said else f"it ended with {done.returncode}",
        )


def _inside(root: HostPath, path: str) -> HostPath:
    # Links are followed below root: an absolute one means another file outside.
    place = os.path.join(root, path)
    while os.path.islink(place):
        target = os.readlink(place)
        start = root if target.startswith("/") else os.path.dirname(place)
        place = os.path.normpath(os.path.join(start, target.lstrip("/")))
    return HostPath(place)
