"""The computer that QEMU emulates: its command line, and why each part is there.

The machine is a q35 with all that is left out that Linux would wait for. Every device
is there from the start, also those that are used only later, because a saved state can
be loaded only into the same machine.

Spec: qemu(1). Numbers: measured, see README, "The lab VM".
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import HostError
from labkit.vm.guest.agent import PORT_NAME
from labkit.vm.guest.wake import WORK_TAG

PROGRAM = "qemu-system-x86_64"
TCG, KVM = "tcg", "kvm"
_QBOOT = Path("/usr/share/qemu/qboot.rom")
# What numpy and its like ask for; more features cost more emulation.
_TCG_CPU = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+fsgsbase,+rdrand"
# Under emulation the processor's clock runs with this machine's frequency, which is
# another one after a move to another machine: the machine's own timer doesn't care. It
# is the only timer, because to measure the processor's takes a tenth of a second; to
# make sure that Linux can't write into its own code takes another.
_EMULATED = "clocksource=hpet tsc=unstable noapictimer rodata=off"
# Without tests of Linux's own ciphers, and of the timer, which take longer here.
_LINUX = (
    "console=ttyS0 loglevel=3 panic=-1 mitigations=off nokaslr"
    " no_timer_check cryptomgr.notests"
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What one machine is made of; equal machines can load each other's states."""

    kernel: Path
    initramfs: Path
    image: Path
    scratch: Path
    python: str  # of the lab, the same path inside
    work: str  # the shared folder, "" for none
    memory_mb: int
    cpus: int
    accelerator: str
    code_cache_mb: int  # for translated code; QEMU's own default is up to a gigabyte

    def options(self) -> list[str]:
        """Return the command line but for what each start decides anew."""
        return [
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-machine", "q35,smm=off,vmport=off,sata=off,smbus=off"),
            *processor(self.accelerator, self.code_cache_mb),
            *_firmware(self.accelerator),
            *("-m", str(self.memory_mb), "-smp", str(self.cpus)),
            *("-kernel", str(self.kernel), "-initrd", str(self.initramfs)),
            # Linux hands what it doesn't know to init, as environment.
            *("-append", f"{linux_options(self.accelerator)} {self._environment()}"),
            *_disk("image", self.image, "readonly=on"),
            *_disk("scratch", self.scratch, "discard=unmap"),
            # No way out: otherwise root in the VM could reach what listens on this
            # machine's loopback. Ports are forwarded one by one, when they are bound.
            *("-netdev", "user,id=net0,restrict=on,ipv6=off"),
            *("-device", "virtio-net-pci,netdev=net0,romfile="),
            *("-device", "virtio-rng-pci"),
            # Gives memory back that the VM has freed.
            *("-device", "virtio-balloon-pci,free-page-reporting=on"),
            *self._shared_folder(),
        ]

    def channels(self, monitor_fd: int, agent_fd: int, console: Path) -> list[str]:
        """Return the options for QEMU's monitor, the agent's port and the console.

        Args: monitor_fd, agent_fd [connected sockets that QEMU inherits: no path has to
            be short, and nobody else can connect]; console [a file].
        """
        return [
            *("-chardev", f"socket,id=monitor,fd={monitor_fd}"),
            *("-mon", "chardev=monitor,mode=control"),
            *("-device", "virtio-serial-pci"),
            *("-chardev", f"socket,id=agent,fd={agent_fd}"),
            *("-device", f"virtserialport,chardev=agent,name={PORT_NAME}"),
            *("-chardev", f"file,id=console,path={_quoted(console)}"),
            *("-serial", "chardev:console"),
        ]

    def _environment(self) -> str:
        return f'LABKIT_PYTHON="{self.python}"'

    def _shared_folder(self) -> list[str]:
        if not self.work:
            return []
        place = f"path={_quoted(self.work)},security_model=none,multidevs=remap"
        return [
            *("-fsdev", f"local,id=work,{place}"),
            *("-device", f"virtio-9p-pci,fsdev=work,mount_tag={WORK_TAG}"),
        ]


def processor(accelerator: str, code_cache_mb: int) -> list[str]:
    """Return QEMU's options for the processor."""
    if accelerator == KVM:
        return ["-accel", "kvm", "-cpu", "host"]
    emulation = f"tcg,tb-size={code_cache_mb},thread=multi"
    return ["-accel", emulation, "-cpu", _TCG_CPU]


def linux_options(accelerator: str) -> str:
    """Return what Linux is told on its command line, whatever it boots for."""
    return f"{_LINUX} {_EMULATED}" if accelerator == TCG else _LINUX


def find_qemu() -> str:
    """Return the path of QEMU.

    Raises: HostError, with the command that installs it.
    """
    found = shutil.which(PROGRAM)
    if found is None:
        raise HostError(
            f"lab VM: there is no {PROGRAM}",
            "sudo apt-get install qemu-system-x86 (on Binder: binder/apt.txt)",
            "labkit doctor",
            meaning="the lab VM needs QEMU, which needs no privilege",
        )
    return found


def qemu_version() -> str:
    """Return the first line of what QEMU says of itself."""
    asked = [find_qemu(), "--version"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.partition("\n")[0]


def _firmware(accelerator: str) -> list[str]:
    # A tenth of a second less than QEMU's own choice; Debian's package has both.
    small = accelerator == TCG and _QBOOT.exists()
    return ["-bios", str(_QBOOT)] if small else []


def _disk(name: str, path: Path, option: str) -> list[str]:
    # unsafe: no flush waits for this machine's disk; what a crash loses is the VM's.
    flags = f"if=none,format=raw,cache=unsafe,file.locking=off,{option}"
    return [
        *("-drive", f"id={name},file={_quoted(path)},{flags}"),
        *("-device", f"virtio-blk-pci,drive={name}"),
    ]


def _quoted(path: str | Path) -> str:
    # A comma separates QEMU's options; doubled, it is one of the value.
    return str(path).replace(",", ",,")
