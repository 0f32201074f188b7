"""Kernel modules: what they need, who asks for them, what they can do without.

A module says in itself, in its section .modinfo, which others it needs, and under which
names Linux asks for it: whoever adds a link of type veth lets Linux run modprobe for
"rtnl-link-veth". So neither depmod nor its files are needed here: `index` writes them.

Left out of each module is what an emulated processor takes long for and nobody in the
VM misses: the signature, because apt has checked the package; the types for BPF; the
descriptions of trace events, for each of which Linux makes a directory.

Kernel: Documentation/kbuild/modules.rst; modinfo(8), modules.dep(5), modprobe(8);
Documentation/admin-guide/module-signing.rst, include/linux/module_signature.h;
kernel/module/main.c: find_module_sections. Spec: elf(5).
"""

from __future__ import annotations

import lzma
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import HostError
from labkit.vm.kernel_image import decompress

_SIGNED = b"~Module signature appended~\n"  # the last bytes of a signed module
_ABOUT = struct.Struct(">8xI")  # before them; its last field is the signature's length

# The header of an ELF file from e_shoff on, and that of a section as far as sh_offset.
_ELF = struct.Struct("<40xQ10xHHH")
_SECTION = struct.Struct("<I20xQ")
_NOT_NEEDED = (b".BTF", b"_ftrace_events", b"_ftrace_eval_map")

# fmt: off
# What Linux needs before it has a root, and the agent's first words: loaded by init.
AT_BOOT = (
    "crc32c_generic",  # before libcrc32c, which looks for it and names no dependency
    "virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng",
    "virtio_balloon", "9p", "9pnet_virtio", "overlay", "ext4",
)
# What else the lab needs of a distribution's kernel: loaded when somebody asks.
ON_DEMAND = (
    "erofs", "squashfs", "loop", "fuse", "binfmt_misc",
    "veth", "bridge", "br_netfilter", "tun", "dummy", "macvlan", "ipvlan", "vxlan",
    "nf_tables", "nft_chain_nat", "nft_nat", "nft_masq", "nft_redir", "nft_ct",
    "nft_compat", "nft_fib_inet", "nft_reject_inet",
    "sch_netem", "sch_htb",
)
# Nobody asks for it: it comes with the bridge that it filters, as it would with Docker.
_ALSO = {"br_netfilter": "rtnl-link-bridge"}
# fmt: on
WANTED = (*AT_BOOT, *ON_DEMAND)


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

    @property
    def aliases(self) -> list[str]:
        """The names under which Linux asks for it, with * for anything."""
        found = re.findall(rb"\0alias=([^\0]*)(?=\0)", self.content)
        return [name.decode() for name in found]


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
    module = KernelModule(name, without_sections(without_signature(_read(files[name]))))
    for needed in module.needs:
        yield from _with_needs(needed, files, seen)
    yield module


def index(modules: Sequence[KernelModule]) -> dict[str, str]:
    """Return the files in which modprobe looks: modules.dep and modules.alias.

    Args: modules [in load order].
    """
    below: dict[str, list[str]] = {}  # what must be loaded before each, the first last
    for one in modules:
        needs = {name for need in one.needs for name in (need, *below.get(need, ()))}
        below[one.name] = [name for name in reversed(below) if name in needs]
    rows = [(alias, one.name) for one in modules for alias in one.aliases]
    rows += [(alias, name) for name, alias in _ALSO.items() if name in below]
    return {
        "modules.dep": "".join(
            f"{name}.ko:{''.join(f' {need}.ko' for need in needs)}\n"
            for name, needs in below.items()
        ),
        "modules.alias": "".join(f"alias {alias} {name}\n" for alias, name in rows),
    }


def without_sections(module: bytes, names: Sequence[bytes] = _NOT_NEEDED) -> bytes:
    """Return a module's file in which some sections have no name: so nobody finds them.

    Args: module [an ELF file]; names [of sections].
    """
    if not module.startswith(b"\x7fELF"):
        return module
    changed = bytearray(module)
    table, size, count, strings = _ELF.unpack_from(module)
    _, text = _SECTION.unpack_from(module, table + strings * size)
    for header in range(table, table + count * size, size):
        (name, _) = _SECTION.unpack_from(module, header)
        if module[text + name : module.index(b"\0", text + name)] in names:
            struct.pack_into("<I", changed, header, 0)
    return bytes(changed)


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
