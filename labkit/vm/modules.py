"""Kernel modules in the order in which they can be loaded.

A module says in itself, in its section .modinfo, which others it needs; so neither
depmod nor its files are needed here.

Their signatures are left out: apt has checked the package that they come in, and
checking each again takes an emulated processor a third of a second.

Kernel: Documentation/kbuild/modules.rst; modinfo(8);
Documentation/admin-guide/module-signing.rst, include/linux/module_signature.h.
"""

from __future__ import annotations

import lzma
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import HostError
from labkit.vm.kernel_image import decompress

_SIGNED = b"~Module signature appended~\n"  # the last bytes of a signed module
_ABOUT = struct.Struct(">8xI")  # before them; its last field is the signature's length

# fmt: off
# What the lab needs of a distribution's kernel, and for what.
WANTED = (
    "crc32c_generic",  # before libcrc32c, which looks for it and names no dependency
    "virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng",
    "virtio_balloon", "9p", "9pnet_virtio",
    "erofs", "squashfs", "overlay", "ext4", "loop",
    "veth", "bridge", "br_netfilter", "tun", "dummy", "macvlan", "ipvlan", "vxlan",
    "nf_tables", "nft_chain_nat", "nft_nat", "nft_masq", "nft_redir", "nft_ct",
    "nft_compat", "nft_fib_inet", "nft_reject_inet",
    "sch_netem", "sch_htb", "fuse", "binfmt_misc",
)
# fmt: on


@dataclass(frozen=True, slots=True)
class KernelModule:
    """One module: its name, and its file's content, uncompressed."""

    name: str
    content: bytes

    @property
    def needs(self) -> list[str]:
        """The names of the modules that must be loaded before."""
        found = re.search(rb"\0depends=([^\0]*)\0", self.content)
        names = found[1].decode().split(",") if found else []
        return [_canonical(name) for name in names if name]


def in_load_order(folder: Path, wanted: tuple[str, ...] = WANTED) -> list[KernelModule]:
    """Return the modules that are wanted and all that they need, dependencies first.

    Args: folder [lib/modules/<release> of an unpacked package]; wanted [names]. What
        this kernel has built in, or doesn't have at all, isn't in the list.
    Raises: HostError when the folder has no modules.
    """
    files = {_name(path): path for path in folder.rglob("*.ko*")}
    if not files:
        raise HostError(
            f"lab VM: no modules in {folder.name}",
            "name another kernel package in LABKIT_VM_KERNEL",
            meaning="this package has a kernel without its modules",
        )
    done: dict[str, KernelModule] = {}
    for name in wanted:
        for module in _with_needs(_canonical(name), files, set(done)):
            done[module.name] = module
    return list(done.values())


def _with_needs(
    name: str, files: dict[str, Path], seen: set[str]
) -> Iterator[KernelModule]:
    # A name without a file is built into the kernel, or unknown to it.
    if name in seen or name not in files:
        return
    seen.add(name)
    module = KernelModule(name, without_signature(_read(files[name])))
    for needed in module.needs:
        yield from _with_needs(needed, files, seen)
    yield module


def without_signature(module: bytes) -> bytes:
    """Return a module's file without the signature behind it."""
    if not module.endswith(_SIGNED):
        return module
    end = len(module) - len(_SIGNED) - _ABOUT.size
    (length,) = _ABOUT.unpack_from(module, end)
    return module[: end - length]


def _read(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    return decompress(("zstd", "-dcq"), data) if path.suffix == ".zst" else data


def _name(path: Path) -> str:
    return _canonical(path.name.partition(".ko")[0])


def _canonical(name: str) -> str:
    # Linux treats the two as one; files have either.
    return name.replace("-", "_")
