"""PID 1 of the VM: imports the lab once, then starts kernels when it is told to.

It talks with the owner over a serial port of the VM, a JSON object on each line:

    owner:  {"do": "wake", ...}      what only the outside knows, see `wake`
            {"do": "start", "kernel": 1, "connection": {...}, "directory": ..., ...}
            {"do": "kill", "kernel": 1}    {"do": "tick"}
    agent:  {"event": "ready"}       everything is imported: the moment to save a state
            {"event": "awake"}    {"event": "tick"}
            {"event": "bound", "kernel": 1}        its ports can be connected to
            {"event": "exit", "kernel": 1, "code": 0}   negative: the signal's number
            {"event": "failed", "why": ...}

Each of the agent's carries `clock_s`, its monotonic time: the owner sees whether the
VM's clock runs as fast as its own.

Every process without a parent is PID 1's, so it waits for all of them.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from labkit.linux.flags import MS
from labkit.linux.syscalls import Linux
from labkit.vm.guest import zygote
from labkit.vm.guest.wake import set_clock, wake

PORT_NAME = "labkit.agent"
_PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
_LOOK_S = 0.02
_LISTENING = "0A"  # include/net/tcp_states.h


class Agent:
    """The loop of PID 1.

    Args: port_fd [the serial port, both ways].
    """

    def __init__(self, port_fd: int) -> None:
        self.port_fd = port_fd
        self.kernels: dict[int, int] = {}  # pid -> the owner's number of a kernel
        self.unbound: dict[int, set[int]] = {}  # number -> ports not yet listened on
        self.waiting = b""  # the beginning of a line

    def say(self, event: str, **fields: object) -> None:
        """Tell the owner."""
        message = {"event": event, "clock_s": time.monotonic(), **fields}
        os.write(self.port_fd, json.dumps(message).encode() + b"\n")

    def run(self) -> None:
        """Serve for ever: a PID 1 that ends is a kernel panic."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.port_fd, selectors.EVENT_READ)
            selector.register(_child_signals(), selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(_LOOK_S if self.unbound else None):
                    self._read() if key.fd == self.port_fd else os.read(key.fd, 512)
                self._reap()
                self._look_for_ports()

    def _read(self) -> None:
        data = os.read(self.port_fd, 1 << 16)
        if not data:
            time.sleep(_LOOK_S)  # the owner has closed its end, which may come back
        *lines, self.waiting = (self.waiting + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))

    def _obey(self, message: dict[str, Any]) -> None:
        try:
            getattr(self, f"_{message['do']}")(message)
        except Exception as failed:  # whatever it is: without PID 1 everything ends
            traceback.print_exc()
            self.say("failed", why=str(failed), kernel=message.get("kernel"))

    def _wake(self, message: dict[str, Any]) -> None:
        wake(message)
        self.say("awake")

    def _tick(self, message: dict[str, Any]) -> None:
        self.say("tick")

    def _start(self, message: dict[str, Any]) -> None:
        number, connection = message["kernel"], message["connection"]
        file = Path(f"/run/kernel-{number}.json")
        # The ports are forwarded to this address of the VM.
        file.write_text(json.dumps({**connection, "ip": "0.0.0.0"}))
        os.makedirs(message["directory"], exist_ok=True)
        set_clock(message["time"])
        pid = os.fork()
        if pid == 0:
            self._become_kernel(file, message)
        self.kernels[pid] = number
        self.unbound[number] = {connection[port] for port in _PORTS}

    def _become_kernel(self, file: Path, message: dict[str, Any]) -> None:
        # Nothing of PID 1's code runs after this in the child, whatever happens.
        try:
            os.close(self.port_fd)
            signal.set_wakeup_fd(-1)
            zygote.become_kernel(
                file,
                message["directory"],
                message["environment"],
                fresh=message["fresh"],
            )
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(1)

    def _kill(self, message: dict[str, Any]) -> None:
        for pid, number in self.kernels.items():
            if number == message["kernel"]:
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self.kernels.pop(pid, None)
            if number is not None:
                self.unbound.pop(number, None)
                code = os.waitstatus_to_exitcode(status)
                self.say("exit", kernel=number, code=code)

    def _look_for_ports(self) -> None:
        if not self.unbound:
            return
        listening = listening_ports()
        bound = [n for n, ports in self.unbound.items() if ports <= listening]
        for number in bound:
            del self.unbound[number]
            self.say("bound", kernel=number)


def listening_ports(table: str = "/proc/net/tcp") -> set[int]:
    """Return the TCP ports that somebody listens on.

    Kernel: proc_pid_net(5).
    """
    rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == _LISTENING}


def open_port() -> int:
    """Open the serial port that the VM has for the agent."""
    for port in Path("/sys/class/virtio-ports").iterdir():
        if (port / "name").read_text().strip() == PORT_NAME:
            return os.open(f"/dev/{port.name}", os.O_RDWR | os.O_CLOEXEC)
    raise FileNotFoundError(PORT_NAME)


def _child_signals() -> int:
    # A byte in a pipe for each SIGCHLD: so one select waits for everything.
    read_fd, write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(write_fd)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    return read_fd


def main(missing: list[str]) -> None:
    """Say that everything is imported, and serve.

    Args: missing [what couldn't be imported].
    """
    # As systemd does on every other machine: new mounts are seen in all namespaces,
    # which is why a container's plan begins with MakePrivate("/").
    Linux(forked=True).mount(None, "/", None, MS.REC | MS.SHARED)
    agent = Agent(open_port())
    agent.say("ready", missing=missing)
    agent.run()
