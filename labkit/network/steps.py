"""What a start asks of the network's own process, as steps. Chapter 13.

    ReserveNetwork("web")    before the cable: the bridge is there, the ports answer
    OpenNetwork("web")       after the fork: names are answered inside

Reading order as above.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.linux.flags import CLONE
from labkit.linux.syscalls import Linux
from labkit.network.client import raise_error_of, socket_path
from labkit.network.links import ConnectVeth, LinkUp
from labkit.plan.step import After, Before, Requires, Rule, Step, Where
from labkit.primitives.namespaces import Unshare
from labkit.primitives.process import Fork
from labkit.values import dataclass

_PROCESS = "the lab's network process, which acts as root on the host's links"


@dataclass(frozen=True, slots=True, repr=False)
class ReserveNetwork(Step):
    """Have the bridges made that a container will be connected to, its ports bound.

    Args: container [its name: its lease says what it has].
    Raises: StateError for a port that is taken or a subnet that is in use; ECONNREFUSED
        or ENOENT when the network's process was killed.
    Needs: what making links needs, in that process.
    Kernel: connect(2), unix(7).
    """

    container: str
    what: str  # for the reader: "bridge labkit0, port 8080"

    man: ClassVar[tuple[str, ...]] = ("connect(2)", "unix(7)")
    needs: ClassVar[str] = _PROCESS
    where: ClassVar[Where] = Where.OUTSIDE
    rules: ClassVar[tuple[Rule, ...]] = (
        Before(ConnectVeth, "the cable's end is plugged into a bridge that is there"),
    )

    def describe(self) -> str:
        return f"ask for {self.what}"

    def apply(self, linux: Linux) -> int | None:
        _ask(linux, f"reserve {self.container}")
        return None


@dataclass(frozen=True, slots=True, repr=False)
class OpenNetwork(Step):
    """Say which process the container is, so that names are answered inside.

    From then on its ports, names and rules end when that process does.

    Args: container.
    Raises: EADDRINUSE when something inside has the name server's port already.
    Needs: what entering the namespace needs, in that process.
    Kernel: connect(2), setns(2).
    """

    container: str

    man: ClassVar[tuple[str, ...]] = ("connect(2)", "setns(2)")
    needs: ClassVar[str] = _PROCESS
    where: ClassVar[Where] = Where.OUTSIDE
    # It mounts while its name server's sockets are made; it becomes a program after.
    meanwhile: ClassVar[bool] = True
    rules: ClassVar[tuple[Rule, ...]] = (
        Requires(
            Unshare(CLONE.NEWNET), "the name server's socket lies in the new namespace"
        ),
        After(LinkUp, "the name server's address belongs to the loopback"),
        After(Fork, "it watches the process that the container stands and falls with"),
    )

    def describe(self) -> str:
        return "have names answered inside"

    def apply(self, linux: Linux) -> int | None:
        _ask(linux, f"started {self.container} {linux.inside}")
        return None


def _ask(linux: Linux, line: str) -> None:
    fd = linux.connect(socket_path())
    try:
        linux.write(fd, f"{line}\n".encode())
        reply = b""
        while part := linux.read(fd):
            reply += part
    finally:
        linux.close(fd)
    raise_error_of(reply)
