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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import HostError
from labkit.host.elf import is_static
from labkit.host.surroundings import find_static_busybox, read_distribution
from labkit.linux.views import ContainerPath, HostPath

Say = Callable[[str], None]
PACKAGE = "busybox-static"
_TIMEOUT_S = 10
_DOWNLOAD_TIMEOUT_S = 300
# A repository without a valid signature is refused, whatever apt is set to here.
_SIGNED_ONLY = (
    "-o", "APT::Get::AllowUnauthenticated=false",
    "-o", "Acquire::AllowInsecureRepositories=false",
    "-o", "Acquire::AllowDowngradeToInsecureRepositories=false",
)  # fmt: skip


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
    failure = _download(workspace, ())
    if failure:
        say("apt has no usable index: fetching one (some ten megabytes, for this once)")
        failure = _download_with_own_index(workspace)
    packages = sorted(Path(workspace).glob(f"{PACKAGE}_*.deb"))
    if failure or not packages:
        raise _cannot_fetch(failure or "apt-get reported success and left no file")
    say(f"unpacking {packages[0].name}, which apt checked against its signed index")
    return _unpack(packages[0], workspace)


def _download_with_own_index(workspace: HostPath) -> str:
    lists, cache = (os.path.join(workspace, name) for name in ("lists", "cache"))
    for folder in (f"{lists}/partial", f"{cache}/archives/partial"):
        os.makedirs(folder, exist_ok=True)
    own = ("-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}")
    # Without Error-Mode apt calls an update a success that reached no mirror. One of
    # several repositories may be out of reach, so the download decides.
    update = _apt(workspace, *own, "-o", "APT::Update::Error-Mode=any", "update")
    failure = _download(workspace, own)
    return (update or failure) if failure else ""


def _download(workspace: HostPath, options: Sequence[str]) -> str:
    return _apt(workspace, *options, "download", PACKAGE)


def _apt(workspace: HostPath, *arguments: str) -> str:
    # Returns apt's own words when it fails.
    return _failure(["apt-get", "-q", *_SIGNED_ONLY, *arguments], workspace)


def _unpack(package: Path, workspace: HostPath) -> HostPath:
    failure = _failure(["dpkg-deb", "-x", str(package), "unpacked"], workspace)
    unpacked = os.path.join(workspace, "unpacked")
    places = [
        os.path.join(unpacked, name) for name in ("bin/busybox", "usr/bin/busybox")
    ]
    found = next((HostPath(path) for path in places if is_static(HostPath(path))), None)
    if failure or found is None:
        raise _cannot_fetch(failure or f"{package.name} holds no static busybox")
    return found


def _failure(argv: Sequence[str], directory: HostPath) -> str:
    try:
        done = subprocess.run(
            argv,
            cwd=directory,
            env=_plain_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{argv[0]} didn't end in {_DOWNLOAD_TIMEOUT_S} s"
    if done.returncode == 0:
        return ""
    errors = (line for line in done.stderr.splitlines() if line.startswith("E: "))
    return next(errors, f"{argv[0]} ended with {done.returncode}").removeprefix("E: ")


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


def _plain_environment() -> Mapping[str, str]:
    # English messages, because the lines that start with E: are looked for.
    return {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}


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
