"""The root image: the lab's Python and some tools of this machine, at their own paths.

Everything is copied into a directory and packed by mkfs.erofs, or mksquashfs, whichever
is installed. No root is needed: in the image all belongs to root.

Kernel: Documentation/filesystems/erofs.rst, squashfs.rst.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from labkit.errors import HostError
from labkit.vm.agents_imports import add_imports
from labkit.vm.file_closure import Closure
from labkit.vm.python_files import add_python, compile_all

Say = Callable[[str], None]

# Programs that chapters, tests and curious people start in the VM.
TOOLS = """
    sh bash [ base64 basename cat chgrp chmod chown cksum comm cp cut date dd df diff
    dirname du echo env expand expr false find fold getconf getent grep gzip head
    hexdump id install join kill less link ln locale logname ls md5sum mkdir mkfifo
    mknod mktemp mv nice nl nohup nproc numfmt od paste pathchk printenv printf pwd
    readlink realpath rm rmdir sed seq sha256sum shuf sleep sort split stat stdbuf stty
    sum sync tac tail tar tee test timeout touch tr true truncate tsort tty uname uniq
    unlink wc who whoami xargs yes awk cmp which script vi nano zstd xz capsh chroot
    chrt choom dmesg fallocate findmnt flock free fuser getcap getopt hostname ionice
    ipcmk ipcrm ipcs ldd losetup lsblk lscpu lsipc lslocks lsns mount mountpoint nsenter
    pgrep pidof pivot_root pkill prlimit ps renice setcap setpriv setsid strace swapoff
    swapon sysctl taskset top umount unshare uptime vmstat watch ip tc nft iptables ping
    ss mke2fs mkfs.ext4 mkfs.ext2 mkfs.erofs mksquashfs mkswap blkid newuidmap newgidmap
    fuse-overlayfs runc crun busybox
""".split()  # noqa: SIM905  a list of words
# What a program, or the lab, opens only while it runs: no loader tells of it.
LIBRARIES = ("libseccomp.so.2",)
_LIBRARY_PLACES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FILES = (
    "/etc/nsswitch.conf", "/etc/protocols", "/etc/services", "/etc/mke2fs.conf",
    "/etc/os-release", "/etc/debian_version", "/etc/mime.types", "/etc/localtime",
    "/etc/ld.so.conf", "/etc/ld.so.cache",
)  # fmt: skip
_TREES = (
    "/etc/iproute2", "/usr/share/iproute2", "/etc/ld.so.conf.d",
    "/usr/lib/locale/C.utf8",
)  # fmt: skip
_WRITTEN = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\n"
    "student:x:1000:1000::/home/student:/bin/bash\n"
    "nobody:x:65534:65534:nobody:/:/bin/false\n",
    "/etc/group": "root:x:0:\ntty:x:5:\nstudent:x:1000:\nnogroup:x:65534:\n",
    "/etc/subuid": "student:100000:65536\n",
    "/etc/subgid": "student:100000:65536\n",
    "/etc/hosts": "127.0.0.1 localhost labvm\n",
    "/etc/hostname": "labvm\n",
    "/etc/resolv.conf": "",
}
_DIRECTORIES = (
    "dev", "home/student", "mnt", "proc", "root", "run", "sys", "tmp", "var/lib/labkit",
    "var/tmp",
)  # fmt: skip
_TIMEOUT_S = 600


def make_root_image(image: Path, workspace: Path, say: Say) -> None:
    """Make the image.

    Args: image [where it goes]; workspace [an empty directory; the caller removes it];
        say [called with one line for each thing that takes time].
    Raises: HostError when neither mkfs.erofs nor mksquashfs is installed.
    """
    packer = find_packer()
    root = workspace / "root"
    root.mkdir()
    say("root image: copying the lab's Python, and tools with their libraries")
    fill(Closure(root))
    say("root image: byte code")
    compile_all(root)
    add_imports(root)
    say(f"root image: packing it with {packer[0]}")
    _pack(packer, root, image)


def fill(closure: Closure) -> None:
    """Copy and write everything that the image holds."""
    for link in ("/bin", "/sbin", "/lib", "/lib64"):
        closure.add(link)
    for tool in TOOLS:
        if path := shutil.which(tool, path=_PATH):
            closure.add(path)
    for library in LIBRARIES:
        paths = (f"{place}/{library}" for place in _LIBRARY_PLACES)
        next(filter(closure.add, paths), None)  # the first that is there
    for name in _FILES:
        closure.add(name)
    for name in _TREES:
        closure.add_tree(Path(name))
    add_python(closure)
    closure.add_libraries()
    for path, text in _WRITTEN.items():
        closure.place(path).unlink(missing_ok=True)
        closure.write(path, text)
    for directory in _DIRECTORIES:
        closure.place(f"/{directory}").mkdir(exist_ok=True)
    closure.place("/tmp").chmod(0o1777)
    closure.root.chmod(0o755)


def find_packer() -> tuple[str, ...]:
    """Return the program that packs the image, with its options.

    lz4hc because the VM unpacks it with a tenth of this machine's speed.
    Raises: HostError when there is none.
    """
    if shutil.which("mkfs.erofs", path=_PATH):
        return ("mkfs.erofs", "--quiet", "-zlz4hc,9", "-C65536", "--all-root", "-T0")
    if shutil.which("mksquashfs", path=_PATH):
        return ("mksquashfs", "-quiet", "-no-progress", "-comp", "lz4", "-all-root")
    raise HostError(
        "lab VM: no program that makes its root image",
        "sudo apt-get install erofs-utils",
        "labkit doctor",
        meaning="neither mkfs.erofs nor mksquashfs is installed",
    )


def _pack(packer: tuple[str, ...], root: Path, image: Path) -> None:
    program, *options = packer
    image.unlink(missing_ok=True)  # mksquashfs would add to it
    sides = [str(image), str(root)]
    argv = (
        [program, *options, *sides]
        if program == "mkfs.erofs"
        else [program, *reversed(sides), *options]
    )
    done = subprocess.run(
        argv, env={"PATH": _PATH}, capture_output=True, text=True,
        timeout=_TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise HostError(
            f"lab VM: {program} failed",
            "see whether the disk is full: df -h",
            meaning=done.stderr.strip().splitlines()[-1] if done.stderr else "",
        )
