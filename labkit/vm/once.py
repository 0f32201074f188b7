"""A virtual machine for one command: Linux boots, runs it, and is switched off.

Its first file system is a copy of a file tree in memory: the very files that a
container has for its root, so that the two can be compared. There is no disk, no
network and no agent; what the command says comes over the serial port.

Reading order: run_once, _options, _heard.
Spec: qemu(1). Kernel: ramfs-rootfs-initramfs.rst.
"""

from __future__ import annotations

import os
import secrets
import selectors
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import HostError
from labkit.vm import cpio
from labkit.vm.machine import find_qemu, linux_options, processor
from labkit.vm.virtual_machine import die_with

MEMORY_MB = 128  # with half of it, Debian's Linux finds no room to unpack anything
_CACHE_MB = 32
# The last word can't be one of the command's own.
_INIT = """#!/bin/sh
mount -t proc proc /proc
{command}
echo "{mark} $?"
poweroff -f
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of the command, and what it took.

    Args: stdout; code [its exit code]; seconds [from the start of QEMU to the end of
        the command]; memory_bytes [of this machine's, that QEMU took at most].
    """

    stdout: str
    code: int
    seconds: float
    memory_bytes: int


def run_once(
    kernel: Path,
    root: Path,
    argv: Sequence[str],
    *,
    accelerator: str,
    timeout_s: float = 60,
) -> Ran:
    """Boot Linux over a copy of a file tree, and run one command in it.

    Args: kernel [host path of a vmlinux]; root [host path of the tree; /bin/sh, mount
        and poweroff are in it]; argv; accelerator [kvm or tcg]; timeout_s [for all].
    Raises: HostError when there is no QEMU, when it ends before the command has, or
        when time is over.
    Needs: nothing.
    """
    mark = secrets.token_hex(8)
    with tempfile.NamedTemporaryFile(prefix="labkit-once-") as initramfs:
        init = _INIT.format(command=shlex.join(argv), mark=mark)
        initramfs.write(cpio.archive(_members(root, init)))
        initramfs.flush()
        options = _options(kernel, Path(initramfs.name), accelerator)
        started = time.perf_counter()
        with subprocess.Popen(
            [find_qemu(), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with(os.getpid()),
        ) as qemu:
            try:
                said, code = _heard(qemu, mark, started + timeout_s)
                took_s = time.perf_counter() - started
                return Ran(said, code, took_s, _peak_bytes(qemu.pid))
            finally:
                qemu.send_signal(signal.SIGKILL)


def _options(kernel: Path, initramfs: Path, accelerator: str) -> list[str]:
    told = f"{linux_options(accelerator)} rdinit=/init"
    return [
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        # It stays when Linux has switched it off: its memory is asked for then.
        *("-no-shutdown", "-serial", "stdio"),
        *("-machine", "q35,smm=off,vmport=off,sata=off,smbus=off"),
        *processor(accelerator, _CACHE_MB),
        *("-m", str(MEMORY_MB)),
        *("-kernel", str(kernel), "-initrd", str(initramfs), "-append", told),
    ]


def _members(root: Path, init: str) -> Iterator[cpio.Member]:
    yield cpio.file("init", init.encode(), 0o755)
    yield from cpio.tree(root)
    # Linux opens it for init's output.
    yield cpio.device("dev/console", 5, 1)


def _heard(
    qemu: subprocess.Popen[bytes], mark: str, deadline: float
) -> tuple[str, int]:
    assert qemu.stdout is not None
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(qemu.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(deadline - time.perf_counter(), 0)):
                raise _failed("time is over", said)
            read = os.read(qemu.stdout.fileno(), 1 << 16)
            said += read
            # A terminal ends its lines with two characters.
            text = said.decode(errors="replace").replace("\r\n", "\n")
            before, last, code = text.partition(mark)
            if last and code.partition("\n")[1]:
                return before, int(code.partition("\n")[0])
            if not read:
                raise _failed("QEMU ended", said)


def _peak_bytes(pid: int) -> int:
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("VmHWM:"))


def _failed(why: str, said: bytes) -> HostError:
    return HostError(
        "virtual machine: the command didn't end",
        "run it again when this machine has less to do",
        meaning=f"{why}; it said: {said.decode(errors='replace')[-500:] or 'nothing'}",
    )
