"""Make what a VM starts from: without root, and once.

    vmlinux         Linux, from the distribution's package
    initramfs.img   busybox, the modules, to which labkit's code is added at each start
    root.img        the lab's Python and tools
    scratch.img     an empty ext4 disk: a copy of it holds the lab's state in the VM

Each is made in a workspace and renamed; build.json, written last, says what all were
made from. When something of that differs, they are made again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labkit import state
from labkit.errors import HostError
from labkit.linux.views import HostPath
from labkit.packages.apt import Apt
from labkit.rootfs.busybox import busybox
from labkit.vm import places, python_files
from labkit.vm.initramfs import fixed_part
from labkit.vm.kernel_image import unpack_kernel
from labkit.vm.modules import WANTED, in_load_order
from labkit.vm.root_image import LIBRARIES, TOOLS, make_root_image
from labkit.vm.settings import Settings

Say = Callable[[str], None]
ARTEFACTS = ("vmlinux", "initramfs.img", "root.img", "scratch.img")
MANIFEST = "build.json"
# Changes with what this module makes, where nothing else would show it.
FORMAT = 5
_WORKSPACE = ".build-"
_OF_THE_KERNEL = ("format", "kernel", "modules")
_SCRATCH_BYTES = 1 << 30  # sparse: takes what is written
# Debian and Ubuntu: an empty package that depends on the newest kernel.
_NEWEST = ("linux-image-amd64", "linux-image-generic")


def build(settings: Settings, say: Say) -> bool:
    """Make the artefacts that are missing or out of date; say whether any was.

    Raises: HostError when a package can't be fetched or a program is missing.
    Needs: nothing; the first time a way to the package mirror.
    """
    with state.lock("vm-build", timeout_s=900):
        wanted = ingredients(settings)
        if made_from() == wanted and not missing():
            return False
        for left in places.folder().glob(f"{_WORKSPACE}*"):
            places.remove(left)  # of a build that was killed
        with tempfile.TemporaryDirectory(
            prefix=_WORKSPACE, dir=places.folder()
        ) as name:
            workspace = Path(name)
            if not _same_kernel(wanted):
                _make_kernel(settings, workspace, say)
            _make_scratch(workspace)
            make_root_image(workspace / "root.img", _empty(workspace / "image"), say)
            places.artefact(MANIFEST).unlink(missing_ok=True)
            for artefact in filter(lambda one: (workspace / one).exists(), ARTEFACTS):
                os.rename(workspace / artefact, places.artefact(artefact))
        manifest = HostPath(str(places.artefact(MANIFEST)))
        state.write(manifest, json.dumps(wanted, indent=1))
    return True


def ingredients(settings: Settings) -> dict[str, Any]:
    """Return what the artefacts would be made from now: equal is up to date."""
    packages = {
        one.metadata["Name"]: one.version
        for one in python_files.distributions(python_files.ROOTS)
    }
    python = places.interpreter()
    tools = {tool: _stamp(shutil.which(tool)) for tool in TOOLS}
    return {
        "format": FORMAT,
        "kernel": [settings.kernel, settings.sources],
        "modules": list(WANTED),
        "python": [python, os.path.realpath(python), sys.version],
        "packages": packages,
        "tools": {tool: stamp for tool, stamp in tools.items() if stamp},
        "libraries": list(LIBRARIES),
    }


def made_from() -> dict[str, Any]:
    """Return what the present artefacts were made from, {} when there are none."""
    try:
        found: dict[str, Any] = json.loads(places.artefact(MANIFEST).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found


def missing() -> list[str]:
    """Return the artefacts that aren't there."""
    return [name for name in ARTEFACTS if not places.artefact(name).exists()]


def is_built(settings: Settings) -> bool:
    """Say whether everything is there and up to date."""
    return made_from() == ingredients(settings) and not missing()


def _same_kernel(wanted: dict[str, Any]) -> bool:
    # The kernel costs a download: it is kept when only Python's packages changed.
    there = all(places.artefact(name).exists() for name in ARTEFACTS[:2])
    before = made_from()
    return there and all(before.get(key) == wanted[key] for key in _OF_THE_KERNEL)


def _make_kernel(settings: Settings, workspace: Path, say: Say) -> None:
    apt = Apt(_empty(workspace / "apt"), settings.sources)
    say("Linux: fetching the package index")
    apt.update()
    unpacked = workspace / "unpacked"
    for package in kernel_packages(apt, settings.kernel):
        say(f"Linux: downloading {package}, which apt checks against its signed index")
        apt.unpack(apt.download(package), unpacked)
    kernel, modules = _find_kernel(unpacked)
    say("Linux: unpacking the kernel and its modules")
    (workspace / "vmlinux").write_bytes(unpack_kernel(kernel))
    program = busybox(HostPath(str(_empty(workspace / "busybox"))), say)
    archive = fixed_part(Path(program.path), in_load_order(modules), modules.name)
    (workspace / "initramfs.img").write_bytes(archive)


def kernel_packages(apt: Apt, wanted: str = "") -> list[str]:
    """Return the packages with a kernel and its modules; Ubuntu has one for each.

    Args: apt [updated]; wanted [a package; "" for this distribution's newest].
    Raises: HostError when the index has none of the names that are known.
    """
    for name in [wanted] if wanted else _NEWEST:
        try:
            found = [name, *apt.depends(name)]
            kernels = [one for one in found if one.startswith("linux-image-")]
            needed = {name, *apt.depends(kernels[-1]), kernels[-1], *found}
        except HostError:
            continue  # another distribution's name
        parts = ("linux-image-", "linux-modules-")
        newest = set() if wanted else {name}  # empty: it only depends
        return sorted(one for one in needed - newest if one.startswith(parts))
    raise HostError(
        "lab VM: no Linux kernel in the package index",
        "name the package in LABKIT_VM_KERNEL, and its place in LABKIT_VM_APT",
        meaning=f"there is no {wanted or ' and no '.join(_NEWEST)}",
    )


def _find_kernel(unpacked: Path) -> tuple[Path, Path]:
    kernel = next(unpacked.glob("boot/vmlinuz-*"), None)
    modules = next(unpacked.glob("**/lib/modules/*"), None)
    if kernel is None or modules is None:
        raise HostError(
            "lab VM: the package holds no kernel",
            "name another one in LABKIT_VM_KERNEL",
            meaning="there is no boot/vmlinuz-*, or no lib/modules",
        )
    return kernel, modules


def _make_scratch(workspace: Path) -> None:
    image = workspace / "scratch.img"
    with open(image, "wb") as file:
        file.truncate(_SCRATCH_BYTES)
    program = shutil.which("mkfs.ext4", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        raise HostError(
            "lab VM: there is no mkfs.ext4",
            "sudo apt-get install e2fsprogs",
            meaning="the VM keeps the lab's state on a disk of its own",
        )
    options = ["-q", "-F", "-m", "0", "-O", "^has_journal,^resize_inode"]
    subprocess.run([program, *options, str(image)], check=True, timeout=60)


def _stamp(path: str | None) -> list[int]:
    if path is None:
        return []
    about = os.stat(path)
    return [about.st_size, about.st_mtime_ns]


def _empty(directory: Path) -> Path:
    directory.mkdir()
    return directory
