"""The first file system of the VM: busybox, modules, init, and labkit's own code.

    bin/busybox  init  modules/*.ko  modules/order     the fixed part, made by the build
    layer/<path>/labkit/**                             labkit as it is now

labkit isn't in the root image, so that a change of its code needs no new image: a
second archive behind the first one, which Linux unpacks after it. Its byte code is
marked "unchecked": Python in the VM loads it without looking at the sources.

Kernel: Documentation/filesystems/ramfs-rootfs-initramfs.rst. Spec: PEP 552.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import labkit
from labkit.vm import cpio
from labkit.vm.byte_code import unchecked
from labkit.vm.modules import KernelModule

INIT = Path(__file__).parent / "guest" / "init"
PACKAGE = Path(labkit.__file__).resolve().parent
_DIRECTORIES = ("bin", "dev", "modules", "proc", "layer")


def fixed_part(busybox: Path, modules: Sequence[KernelModule]) -> bytes:
    """Return the archive that depends on the kernel and on busybox only.

    Args: busybox [a static one]; modules [in load order].
    """
    order = "".join(f"{module.name}\n" for module in modules)
    return cpio.archive(
        (
            *map(cpio.directory, _DIRECTORIES),
            # Linux opens it for init's output before /dev is mounted.
            cpio.device("dev/console", 5, 1),
            cpio.file("bin/busybox", busybox.read_bytes(), 0o755),
            *(cpio.file(f"modules/{one.name}.ko", one.content) for one in modules),
            cpio.file("modules/order", order.encode()),
        )
    )


def code_part(package: Path = PACKAGE) -> bytes:
    """Return the archive with init and a package of Python code, compiled.

    Args: package [the directory of labkit; in the VM it has the same path].
    """
    parents = [str(path).lstrip("/") for path in reversed(package.parents)]
    return cpio.archive(
        (
            cpio.file("init", INIT.read_bytes(), 0o755),
            *(cpio.directory(f"layer/{path}") for path in parents if path),
            *_package(package),
        )
    )


def code_stamp(package: Path = PACKAGE) -> str:
    """Return a short text that changes with any file of a package."""
    rows = []
    for directory, folders, files in os.walk(package):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            about = os.stat(os.path.join(directory, name))
            rows.append(f"{directory}/{name} {about.st_size} {about.st_mtime_ns}")
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _package(package: Path) -> Iterator[cpio.Member]:
    for directory, folders, files in os.walk(package):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        inside = f"layer{directory}"
        yield cpio.directory(inside)
        yield cpio.directory(f"{inside}/__pycache__")
        for name in sorted(files):
            path = Path(directory, name)
            yield cpio.file(f"{inside}/{name}", path.read_bytes())
            if path.suffix == ".py":
                cache = Path(importlib.util.cache_from_source(name))
                yield cpio.file(f"{inside}/{cache}", unchecked(path))
