"""The first file system of the VM: busybox, modules, init, and labkit's own code.

    bin/busybox  init          the first programs
    layer/usr/lib/modules/**   the modules, which modprobe finds in lib
    layer/usr/sbin/modprobe    busybox once more
    layer/<path>/labkit/**     labkit as it is now; its byte code once more in one file

The layer becomes the writable one of the VM's root, where it lies: nothing is copied.
But for labkit's code and init, all is made by the build.

labkit isn't in the root image, so that a change of its code needs no new image: a
second archive behind the first one, which Linux unpacks after it. Its byte code is
marked "unchecked": Python in the VM loads it without looking at the sources.

Kernel: Documentation/filesystems/ramfs-rootfs-initramfs.rst. Spec: PEP 552.
"""

from __future__ import annotations

import compileall
import hashlib
import importlib.util
import marshal
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import labkit
from labkit.vm import cpio
from labkit.vm.byte_code import HEADER, unchecked
from labkit.vm.guest.one_file import LABKIT, PLACE, Modules
from labkit.vm.modules import AT_BOOT, KernelModule, index

INIT = Path(__file__).parent / "guest" / "init"
PACKAGE = Path(labkit.__file__).resolve().parent
_DIRECTORIES = ("bin", "dev", "proc", "image", "root_of_all", "work", "layer")
_LINKS = {
    "lib": "layer/usr/lib",
    "sbin": "layer/usr/sbin",
    "bin/busybox": "/sbin/modprobe",
}


def fixed_part(busybox: Path, modules: Sequence[KernelModule], release: str) -> bytes:
    """Return the archive that depends on the kernel and on busybox only.

    Args: busybox [a static one]; modules [in load order]; release [of the kernel].
    """
    folder = f"layer/usr/lib/modules/{release}"
    files = {f"{one.name}.ko": one.content for one in modules}
    files |= {name: text.encode() for name, text in index(modules).items()}
    names = [one.name for one in modules if one.name in AT_BOOT]
    return cpio.archive(
        (
            *map(cpio.directory, _DIRECTORIES),
            *(cpio.symbolic_link(name, to) for name, to in _LINKS.items()),
            # Linux opens it for init's output before /dev is mounted.
            cpio.device("dev/console", 5, 1),
            *map(cpio.directory, ("layer/usr", "layer/usr/sbin", "layer/usr/lib")),
            *map(cpio.directory, ("layer/usr/lib/modules", folder)),
            *(cpio.file(f"{folder}/{name}", data) for name, data in files.items()),
            cpio.file("layer/usr/sbin/modprobe", busybox.read_bytes(), 0o755),
            cpio.file("modules", " ".join(names).encode()),
        )
    )


def code_part(package: Path = PACKAGE) -> bytes:
    """Return the archive with init and a package of Python code, compiled.

    Args: package [the directory of labkit; in the VM it has the same path].
    """
    # As an import would, which finds it, too: next time there is nothing to do.
    compileall.compile_dir(package, quiet=2)
    parents = [str(path).lstrip("/") for path in reversed(package.parents)]
    return cpio.archive(
        (
            cpio.file("init", INIT.read_bytes(), 0o755),
            *(cpio.directory(f"layer/{path}") for path in parents if path),
            *_package(package),
            cpio.directory(f"layer{PLACE}"),
            cpio.file(f"layer{LABKIT}", marshal.dumps(_modules(package))),
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


def _modules(package: Path) -> Modules:
    found: Modules = {}
    for path in package.rglob("*.py"):
        is_package = path.stem == "__init__"
        module = (path.parent if is_package else path.with_suffix("")).relative_to(
            package.parent
        )
        name = ".".join(module.parts)
        found[name] = (str(path), is_package, unchecked(path)[HEADER:])
    return found


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
