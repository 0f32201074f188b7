"""A running QEMU: started, talked to, saved, ended.

    VirtualMachine.start(machine, folder)           Linux boots
    VirtualMachine.start(..., state=path)           goes on where a state was saved
        .wait_for("ready", timeout_s)               what the agent says
        .monitor .tell(...)                         QEMU, and the agent
        .end()                                      at once; twice is no error

QEMU is killed by Linux when its owner ends, however that happens.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labkit.errors import HostError
from labkit.linux.flags import PR
from labkit.linux.syscalls import Linux
from labkit.vm.machine import Machine, find_qemu
from labkit.vm.qmp import Monitor

CONSOLE = "console.log"
_END_S = 5.0
_TAIL = 12  # lines of the console in an error


class VirtualMachine:
    """One QEMU, owned by this process."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        monitor: socket.socket,
        agent: socket.socket,
        console: Path,
    ) -> None:
        self.process, self.agent, self.console = process, agent, console
        self.monitor = Monitor(monitor)
        self.exit_fd = os.pidfd_open(process.pid)  # readable when QEMU has ended
        self._waiting = b""
        self._messages: deque[dict[str, Any]] = deque()

    @classmethod
    def start(
        cls, machine: Machine, folder: Path, *, state: Path | None = None
    ) -> VirtualMachine:
        """Start QEMU.

        Args: machine [what to emulate]; folder [for the console's output]; state [a
            saved one, to go on from].
        Raises: HostError when QEMU isn't installed.
        """
        monitor, qemus_monitor = socket.socketpair()
        agent, qemus_agent = socket.socketpair()
        ends = [qemus_monitor.fileno(), qemus_agent.fileno()]
        argv = [find_qemu(), *machine.options()]
        argv += machine.channels(ends[0], ends[1], folder / CONSOLE)
        if state is not None:
            ends.append(os.open(state, os.O_RDONLY | os.O_CLOEXEC))
            argv += ["-incoming", f"fd:{ends[-1]}"]
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            pass_fds=ends,
            preexec_fn=die_with(os.getpid()),
        )
        for end in (qemus_monitor, qemus_agent):
            end.close()
        if state is not None:
            os.close(ends[-1])
        return cls(process, monitor, agent, folder / CONSOLE)

    def tell(self, **message: object) -> None:
        """Send the agent a message."""
        self.agent.sendall(json.dumps(message).encode() + b"\n")

    def messages(self) -> list[dict[str, Any]]:
        """Return what the agent has said; waits when that is nothing yet."""
        if not self._messages:
            self._read()
        found = list(self._messages)
        self._messages.clear()
        return found

    def wait_for(self, event: str, timeout_s: float) -> dict[str, Any]:
        """Return the agent's next message of one kind.

        Raises: HostError when QEMU ends before, the agent failed, or time is over.
        """
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self.agent, selectors.EVENT_READ)
            selector.register(self.exit_fd, selectors.EVENT_READ)
            while True:
                if message := self._next(event):
                    return message
                ready = selector.select(max(deadline - time.monotonic(), 0))
                if any(key.fd == self.exit_fd for key, _ in ready):
                    raise self.failed("QEMU ended")
                if not ready:
                    raise self.failed(f'no "{event}" in {timeout_s:g} s')
                self._read()

    def end(self) -> None:
        """End QEMU at once; what the VM held in memory is gone.

        The shared folder isn't hurt: nothing of it is kept back in the VM.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(_END_S)
        self.agent.close()
        self.monitor.close()
        if self.exit_fd >= 0:
            os.close(self.exit_fd)
            self.exit_fd = -1

    def console_tail(self) -> str:
        """Return the last lines of the console."""
        try:
            text = self.console.read_text(errors="replace")
        except FileNotFoundError:
            return ""
        # After a panic Linux prints registers, which help nobody here.
        said, panic, why = text.partition("Kernel panic")
        lines = (said + panic + why.partition("\n")[0]).splitlines()
        return "\n".join(lines[-_TAIL:])

    def failed(self, why: str) -> HostError:
        """Return the error for a VM that doesn't do what it should."""
        tail = self.console_tail()
        said = f"; its console's last lines:\n{tail}" if tail else ""
        return HostError(
            "lab VM: it didn't start",
            "labkit vm reset, then start the notebook again",
            "labkit vm status",
            meaning=why + said,
        )

    def _next(self, event: str) -> dict[str, Any] | None:
        while self._messages:
            message = self._messages.popleft()
            if message["event"] == event:
                return message
            if message["event"] == "failed":
                raise self.failed(message["why"])
        return None

    def _read(self) -> None:
        data = self.agent.recv(1 << 16)
        *lines, self._waiting = (self._waiting + data).split(b"\n")
        self._messages.extend(json.loads(line) for line in lines)


def die_with(owner: int) -> Callable[[], None]:
    """Return what a new process does first, to end with its owner.

    Args: owner [host pid].
    """

    def prepare() -> None:
        linux = Linux(forked=True)
        linux.prctl(PR.SET_PDEATHSIG, signal.SIGKILL)
        # The VM gives its memory back in small pieces, which huge pages would keep.
        linux.prctl(PR.SET_THP_DISABLE, 1)
        # The owner may have ended before that took effect.
        if os.getppid() != owner:
            os._exit(1)

    return prepare
