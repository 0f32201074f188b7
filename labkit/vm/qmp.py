"""Talk to QEMU: the QEMU Machine Protocol, a JSON object on each line.

Spec: docs/interop/qmp-spec.txt and the QMP reference of QEMU.
"""

from __future__ import annotations

import json
import socket
import time
from typing import Any

from labkit.errors import HostError

_TIMEOUT_S = 20.0
_POLL_S = 0.02


class Monitor:
    """QEMU's monitor.

    Args: connection [the other end of the socket that QEMU has].
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(_TIMEOUT_S)
        self._connection = connection
        self._waiting = b""

    def open(self) -> None:
        """Exchange the greetings.

        Raises: HostError when QEMU ends, or doesn't answer.
        """
        self._line()
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: object) -> Any:
        """Send a command; return what it returned. Events in between are left out.

        Raises: HostError when QEMU refuses, ends, or doesn't answer.
        """
        text = json.dumps({"execute": command, "arguments": arguments})
        try:
            self._connection.sendall(text.encode() + b"\n")
        except OSError as gone:
            raise _refused(command, str(gone)) from gone
        return self._answer(command)

    def close(self) -> None:
        """Close this end of the socket."""
        self._connection.close()

    def forward(self, port: int) -> None:
        """Forward a port of this machine's loopback to the same one of the VM.

        Raises: HostError when somebody else listens on it.
        """
        self._human(f"hostfwd_add net0 tcp:127.0.0.1:{port}-:{port}")

    def stop_forwarding(self, port: int) -> None:
        """Give a port of this machine back."""
        self._human(f"hostfwd_remove net0 tcp:127.0.0.1:{port}", well="removed")

    def status(self) -> str:
        """Return running, paused, inmigrate, postmigrate, ..."""
        return str(self.ask("query-status")["status"])

    def save(self, fd: int, timeout_s: float) -> None:
        """Write the state of the VM, which must be stopped, into an open file.

        Raises: HostError when it can't be written, or not in this time.
        """
        self.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self._hand_over(fd, "state")
        self.ask("migrate", uri="fd:state")
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            progress = self.ask("query-migrate")
            if progress.get("status") == "completed":
                return
            if progress.get("status") == "failed":
                raise _refused("migrate", progress.get("error-desc", ""))
            time.sleep(_POLL_S)
        raise _refused("migrate", f"it wasn't done after {timeout_s:g} s")

    def _hand_over(self, fd: int, name: str) -> None:
        # QEMU gets a copy of the descriptor together with the command: unix(7).
        text = json.dumps({"execute": "getfd", "arguments": {"fdname": name}})
        socket.send_fds(self._connection, [text.encode() + b"\n"], [fd])
        self._answer("getfd")

    def _answer(self, command: str) -> Any:
        while True:
            answer = self._line()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise _refused(command, answer["error"]["desc"])

    def _human(self, line: str, well: str = "") -> None:
        # Commands that QMP doesn't have. They answer in words: none, when all is well.
        said = self.ask("human-monitor-command", **{"command-line": line}).strip()
        if said and not (well and well in said):
            raise _refused(line, said)

    def _line(self) -> dict[str, Any]:
        while b"\n" not in self._waiting:
            try:
                data = self._connection.recv(1 << 16)
            except ConnectionResetError:
                data = b""  # it ended with something of ours unread
            except OSError as silent:
                raise _refused("waiting for an answer", str(silent)) from silent
            if not data:
                raise _refused("waiting for an answer", "QEMU has ended")
            self._waiting += data
        line, _, self._waiting = self._waiting.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _refused(command: str, why: str) -> HostError:
    return HostError(
        f"QEMU: {command}: refused",
        "labkit vm reset starts a new VM",
        "labkit vm status",
        meaning=why,
    )
