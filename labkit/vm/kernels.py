"""The kernels in a VM, as the owner sees them: one for each notebook.

    waiting    another kernel still has its ports: one that was restarted, and dies
    starting   the agent was told
    bound      its ports are forwarded, Jupyter is connected
    ending     its notebook let go, and it was told to end

Jupyter chooses a kernel's five ports on this machine; the VM has the same ones inside.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from labkit.errors import HostError
from labkit.vm.lines import Lines
from labkit.vm.virtual_machine import VirtualMachine

PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")


class Phase(StrEnum):
    """Where a kernel is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    BOUND = "bound"
    ENDING = "ending"


@dataclass
class Kernel:
    """One kernel, and the process that asked for it."""

    number: int
    client: Lines
    request: dict[str, Any]  # connection, directory, environment
    phase: Phase = Phase.WAITING
    forwarded: list[int] = field(default_factory=list)

    @property
    def ports(self) -> list[int]:
        """The ports that it listens on, outside and inside."""
        return [self.request["connection"][name] for name in PORTS]


class Kernels:
    """All kernels of one VM.

    Args: vm [awake].
    """

    def __init__(self, vm: VirtualMachine) -> None:
        self.vm = vm
        self.all: dict[int, Kernel] = {}
        self._last = 0

    def add(self, client: Lines, request: dict[str, Any], *, fresh: bool) -> None:
        """Start a kernel, or let it wait for its ports.

        Args: client [is told bound, failed, exit]; request [its connection and where
            it is to run]; fresh [labkit's files are newer than those in the VM].
        """
        self._last += 1
        kernel = Kernel(self._last, client, {**request, "fresh": fresh})
        self.all[kernel.number] = kernel
        self._start_waiting()

    def let_go(self, client: Lines) -> None:
        """End the kernels whose notebook is gone."""
        for kernel in list(self.all.values()):
            if kernel.client is not client or kernel.phase is Phase.ENDING:
                continue
            self._stop_forwarding(kernel)
            if kernel.phase is Phase.WAITING:
                del self.all[kernel.number]
                continue
            kernel.phase = Phase.ENDING
            self.vm.tell(do="kill", kernel=kernel.number)

    def heard(self, message: dict[str, Any]) -> None:
        """Go on with what the agent said of a kernel."""
        kernel = self.all.get(message.get("kernel") or 0)
        if kernel is None:
            return
        if message["event"] == "bound" and kernel.phase is Phase.STARTING:
            self._forward(kernel)
        elif message["event"] in ("exit", "failed"):
            self._stop_forwarding(kernel)
            del self.all[kernel.number]
            kernel.client.say(**message)
            self._start_waiting()

    def _start_waiting(self) -> None:
        for kernel in self.all.values():
            if kernel.phase is Phase.WAITING and not self._taken(kernel):
                kernel.phase = Phase.STARTING
                now = time.time()
                start = {**kernel.request, "do": "start", "kernel": kernel.number}
                self.vm.tell(**start, time=now)

    def _taken(self, kernel: Kernel) -> bool:
        return any(
            set(other.ports) & set(kernel.ports)
            for other in self.all.values()
            if other is not kernel and other.phase is not Phase.WAITING
        )

    def _forward(self, kernel: Kernel) -> None:
        # Only now: a connection to a port that nobody listens on yet is tried again by
        # QEMU's network after seconds, by Jupyter at once.
        try:
            for port in kernel.ports:
                self.vm.monitor.forward(port)
                kernel.forwarded.append(port)
        except HostError as taken:
            kernel.client.say(event="failed", why=taken.meaning)
            self.let_go(kernel.client)
            return
        kernel.phase = Phase.BOUND
        kernel.client.say(event="bound")

    def _stop_forwarding(self, kernel: Kernel) -> None:
        while kernel.forwarded:
            self.vm.monitor.stop_forwarding(kernel.forwarded.pop())
