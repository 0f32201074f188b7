"""A terminal for the container. Chapter "The runtime".

    socket  <--- the master's descriptor ---  OpenConsole
    (whoever holds it sees the screen          /dev/pts/0 is stdin, stdout, stderr,
     and types)                                /dev/console, and the session's terminal

The pair of ends is made in the container's own devpts, so that ttyname(3) finds there
what it asks for. The other end is got by TIOCGPTPEER from the master itself: a path in
the container could lead elsewhere by now.
"""

from __future__ import annotations

import struct
from typing import ClassVar

from labkit.linux.flags import OPEN_TREE, O
from labkit.linux.privilege_flags import TIOC
from labkit.linux.syscalls import Linux
from labkit.plan.step import After, Before, Requires, Rule, Step
from labkit.primitives.inside_root import file_in_root
from labkit.primitives.leftovers import NewSession
from labkit.primitives.root import PivotRoot
from labkit.primitives.user import SetUser
from labkit.values import dataclass

_MASTER = "/dev/pts/ptmx"


@dataclass(frozen=True, slots=True, repr=False)
class OpenConsole(Step):
    """Make a terminal, hand its master out, and be the session that it belongs to.

    Args: socket_fd [a connected Unix stream socket]; rows, columns [0 leaves it];
        uid [whose it shall be, in the inside's user namespace]; mount [also make it
        /dev/console: what the first process of a container has].
    Raises: ENOENT without a devpts on /dev/pts; EPIPE when nobody holds the socket.
    Needs: CAP_SYS_ADMIN in the owner of the mount namespace, for /dev/console.
    Kernel: pts(4), ioctl_tty(2). Spec: OCI runtime, process.terminal.
    """

    socket_fd: int
    rows: int = 0
    columns: int = 0
    uid: int = 0
    mount: bool = True

    man: ClassVar[tuple[str, ...]] = ("pts(4)", "ioctl_tty(2)", "unix(7)")
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the owner of the mount namespace"
    rules: ClassVar[tuple[Rule, ...]] = (
        After(PivotRoot, "it is made in the container's own devpts"),
        Requires(NewSession, "only a session's leader takes a terminal"),
        Before(SetUser, "making /dev/console takes root"),
    )

    def describe(self) -> str:
        return "make a terminal, send its master out, and use its other end"

    def apply(self, linux: Linux) -> int | None:
        master = linux.open(_MASTER, O.RDWR | O.NOCTTY)
        terminal = _other_end(linux, master)
        _resize(linux, terminal, self.rows, self.columns)
        linux.sendmsg(self.socket_fd, b"/dev/ptmx", [master])
        if self.mount:
            _mount(linux, terminal)
        _use(linux, terminal, self.uid)
        for fd in (master, terminal, self.socket_fd):
            linux.close(fd)
        return None


def _other_end(linux: Linux, master: int) -> int:
    linux.ioctl(master, TIOC.SPTLCK, struct.pack("i", 0))  # pts(4): unlock it
    return int(linux.ioctl(master, TIOC.GPTPEER, O.RDWR | O.NOCTTY | O.CLOEXEC))


def _resize(linux: Linux, terminal: int, rows: int, columns: int) -> None:
    if rows or columns:
        linux.ioctl(terminal, TIOC.SWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _mount(linux: Linux, terminal: int) -> None:
    place = file_in_root(linux, "/dev/console")
    tree = linux.open_tree(terminal, OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC)
    linux.move_mount(tree, place)
    linux.close(tree)
    linux.close(place)


def _use(linux: Linux, terminal: int, uid: int) -> None:
    linux.ioctl(terminal, TIOC.SCTTY)
    if uid:
        linux.fchown(terminal, uid, -1)
    for fd in (0, 1, 2):
        linux.dup2(terminal, fd)
