"""Foreground: what `run` and `exec` do until the program ends; and where terminals go.

    --console-socket    the master goes to whoever listens there (conmon)
    terminal, without   the master comes back to us; bytes are copied both ways

    keyboard -> stdin -> master | slave -> program
      screen <- stdout <-       |       <-

The program is no child of ours once the process between us has left; we inherit it as
the nearest subreaper, and so learn its exit code.

Reading order: console, Foreground.
"""

from __future__ import annotations

import errno
import os
import signal

from labkit.errors import syscall_error
from labkit.linux.flags import PR
from labkit.linux.syscalls import Linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket
    from types import FrameType
    from typing import Any, Self

    from labkit.runtime.oci.arguments import Given

_AT_ONCE = 65536
# Those that a person or a service sends to the runtime and means for the program.
_FORWARDED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")


class Console:
    """A connected socket that a terminal's master is sent through; or none."""

    def __init__(self, connected: socket | None = None) -> None:
        self._connected = connected

    @property
    def fd(self) -> int | None:
        """The socket's descriptor."""
        return None if self._connected is None else self._connected.fileno()

    def close(self) -> None:
        """Give the socket back."""
        if self._connected is not None:
            self._connected.close()


def console(given: Given) -> Console:
    """Connect to the socket that --console-socket names, if it does.

    Raises: ENOENT or ECONNREFUSED when nobody listens there.
    """
    path = given.text("console-socket")
    if not path:
        return Console()
    import socket

    connected = socket.socket(socket.AF_UNIX)
    try:
        connected.connect(path)
    except OSError as refused:
        connected.close()
        raise syscall_error(f'connect("{path}")', refused.errno or 0) from None
    return Console(connected)


class Foreground:
    """Be there until a program ends: a context manager.

    Args: given [a --console-socket goes before a terminal of ours]; terminal [whether
        the program wants one].
    """

    def __init__(self, given: Given, *, terminal: bool) -> None:
        self._console, self._ours = console(given), None
        if terminal and self._console.fd is None:
            import socket

            self._ours, theirs = socket.socketpair()
            self._console = Console(theirs)
        Linux(forked=True).prctl(PR.SET_CHILD_SUBREAPER, 1)
        self._master = -1
        self._restore: list[Any] = []

    @property
    def fd(self) -> int | None:
        """The descriptor that the terminal's master is sent through."""
        return self._console.fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._restore:
            import termios

            termios.tcsetattr(0, termios.TCSADRAIN, self._restore)
        if self._ours is not None:
            self._ours.close()
        self._console.close()

    def wait(self, pid: int) -> int:
        """Copy bytes and forward signals until a process ends; return its exit code.

        Args: pid [of a child, or of an orphan that we inherit].
        Returns: 128 and the signal's number, where one ended it.
        """
        pidfd = os.pidfd_open(pid)
        for name in _FORWARDED:
            signal.signal(signal.Signals[name], lambda number, _: _send(pidfd, number))
        if self._ours is not None:
            self._take_master()
        self._copy_until_end(pidfd)
        os.close(pidfd)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return code if code >= 0 else 128 - code

    def _take_master(self) -> None:
        import socket

        assert self._ours is not None
        _, descriptors, _, _ = socket.recv_fds(self._ours, 4096, 1)
        self._master = descriptors[0]
        if os.isatty(0):
            import termios
            import tty

            self._restore = termios.tcgetattr(0)
            tty.setraw(0, termios.TCSANOW)
            self._resize()
            signal.signal(signal.SIGWINCH, self._resize)

    def _resize(self, number: int = 0, frame: FrameType | None = None) -> None:
        import termios

        termios.tcsetwinsize(self._master, termios.tcgetwinsize(0))

    def _copy_until_end(self, pidfd: int) -> None:
        import select

        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if self._master >= 0:
            poll.register(self._master, select.POLLIN)
            poll.register(0, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._master in ready and not _copy(self._master, 1):
                poll.unregister(self._master)
            if 0 in ready and not _copy(0, self._master):
                poll.unregister(0)
            # Last, because what the program has said comes before its end.
            if pidfd in ready and self._master not in ready:
                return


def _copy(source: int, target: int) -> bool:
    try:
        data = os.read(source, _AT_ONCE)
        while data:
            data = data[os.write(target, data) :]
            if not data:
                return True
    except OSError as ended:
        if ended.errno != errno.EIO:  # the last of a terminal's slaves is closed
            raise
    return False


def _send(pidfd: int, number: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return  # it has just ended
