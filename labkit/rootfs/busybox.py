"""Find a busybox that needs no other file, or get one. Chapter 02.

    a static busybox is installed       taken as it is
    apt-get and dpkg-deb are there      busybox-static is downloaded, checked by apt
                                        against its signed index, and unpacked; needs no
                                        root
    otherwise                           an error that says how to install it

Left out: building it from source; a busybox that needs a loader and libraries.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import HostError
from labkit.host.elf import is_static
from labkit.host.surroundings import find_static_busybox, read_distribution
from labkit.linux.views import ContainerPath, HostPath
from labkit.packages import Packages

Say = Callable[[str], None]
PACKAGE = "busybox-static"
_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Busybox:
    """A static busybox: its file, its version and the programs that it stands for."""

    path: HostPath
    version: str  # 1.35.0
    applets: tuple[ContainerPath, ...]  # where they belong: bin/ls, usr/bin/awk


def busybox(workspace: HostPath, say: Say) -> Busybox:
    """Return a static busybox that runs here.

    Args: workspace [host path of a directory for a download; the caller removes it];
        say [called with one line for each thing that takes time].
    Returns: the busybox; installed on the host or unpacked in the workspace.
    Raises: HostError when there is none and none can be fetched, or it doesn't run.
    Needs: nothing; a download needs a way to the distribution's mirror.
    Kernel: execve(2).
    """
    installed = find_static_busybox(os.environ)
    if installed:
        say(f"busybox: {installed}")
        return examine(installed)
    return examine(fetch(workspace, say))


def examine(path: HostPath) -> Busybox:
    """Run a busybox and ask for its version and its applets.

    Args: path [host path of a static program].
    Returns: what it says of itself, applets sorted.
    Raises: HostError when it doesn't run or is no busybox.
    Needs: permission to execute it.
    Kernel: execve(2).
    """
    banner = _ask(path).partition("\n")[0]
    applets = _ask(path, "--list-full").split()
    words = banner.split()
    if not applets or words[:1] != ["BusyBox"]:
        raise _does_not_run(path, "it is no busybox, or was built without its list")
    places = sorted(ContainerPath(applet) for applet in applets)
    return Busybox(path, words[1].removeprefix("v"), tuple(places))


def fetch(workspace: HostPath, say: Say) -> HostPath:
    """Download and unpack the distribution's static busybox, without installing it.

    apt checks the package against its index, and the index against the keys of the
    distribution. When this machine has no index, one is fetched into the workspace.

    Args: workspace [host path]; say [called with one line for each download].
    Returns: host path of the program in the workspace.
    Raises: HostError when apt or dpkg-deb is missing, or apt can't download it.
    Needs: nothing.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if not _installed(tool):
            raise _cannot_fetch(f"there is no {tool} here to get it with")
    say(f"no static busybox here: downloading {PACKAGE} with apt-get")
    try:
        unpacked = Packages(Path(workspace), say).unpack([PACKAGE], "unpacked")
    except HostError as failed:
        raise _cannot_fetch(failed.meaning) from failed
    places = [f"{unpacked.root}/{name}" for name in ("bin/busybox", "usr/bin/busybox")]
    found = next((HostPath(path) for path in places if is_static(HostPath(path))), None)
    if found is None:
        raise _cannot_fetch(f"{PACKAGE} holds no static busybox")
    return found


def _ask(path: HostPath, *arguments: str) -> str:
    try:
        return subprocess.run(
            [path, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as refused:
        raise _does_not_run(path, str(refused)) from refused


def _installed(tool: str) -> bool:
    folders = os.get_exec_path()
    return any(os.access(os.path.join(folder, tool), os.X_OK) for folder in folders)


def _cannot_fetch(meaning: str) -> HostError:
    command = read_distribution(HostPath("/")).install_busybox
    return HostError(
        "root filesystem: no static busybox", command, "labkit doctor", meaning=meaning
    )


def _does_not_run(path: HostPath, meaning: str) -> HostError:
    command = read_distribution(HostPath("/")).install_busybox
    return HostError(
        f"root filesystem: {path} can't be used",
        command,
        "labkit doctor",
        meaning=meaning,
    )
