"""A child's two processes as the notebook holds them: forked, recorded, ended."""

from __future__ import annotations

import fcntl
import os
import select
import tempfile
import threading
import warnings
from typing import BinaryIO, Self

from labkit.errors import StateError, WrongProcess
from labkit.linux.views import HostPid
from labkit.plan import handle, outside
from labkit.plan.channel import Channel
from labkit.plan.family import Family, kill
from labkit.plan.interrupts import uninterrupted
from labkit.plan.step import Step
from labkit.text import Text

KIND = "child"
# More than the outside gives its family, so that it can say what came of it.
_PATIENCE_S = 4.0


class Processes:
    """The outside, a child of the notebook, and the inside, a child of the outside.

    Args: channel [the notebook's end]; pid [the outside's, a child of this process];
        output [where both write what they print].
    """

    def __init__(self, channel: Channel, pid: HostPid, output: BinaryIO) -> None:
        self.channel, self._outside, self._output = channel, pid, output
        self._owner, self._said = os.getpid(), Text()
        self._family: Family | None = None
        self._record: handle.Record | None = None

    @classmethod
    def fork(cls, steps: tuple[Step, ...]) -> Self:
        """Fork the outside, which forks the inside.

        Raises: WrongProcess in a background thread.
        """
        if threading.current_thread() is not threading.main_thread():
            raise WrongProcess(
                "plan.fork() in a background thread",
                "call it in a cell",
                meaning="a fork belongs to the notebook's main thread",
            )
        with warnings.catch_warnings():
            # Since Python 3.12 a fork beside threads warns. Here the child runs plain
            # Python, takes no lock of another thread, and leaves with _exit.
            warnings.simplefilter("ignore", DeprecationWarning)
            output = tempfile.TemporaryFile(prefix="labkit-output-")  # noqa: SIM115
            # What the outside cuts off must not come back as a hole.
            fcntl.fcntl(output, fcntl.F_SETFL, os.O_APPEND)
            ours, theirs = Channel.pair()
            pid = os.fork()
            if pid == 0:
                outside.serve(theirs, steps, output.fileno())
            theirs.close()
            return cls(ours, HostPid(pid), output)

    def said(self) -> Text:
        """Return what the two, and programs in the inside, have written so far."""
        if self._output.closed:
            return self._said
        size = os.fstat(self._output.fileno()).st_size
        data = os.pread(self._output.fileno(), size, 0)
        return Text(data.decode(errors="replace"))

    def record(self, inside: HostPid) -> None:
        """Write down, for `labkit sweep`, who the inside is now."""
        self._family = Family.of(self._outside, inside)
        undo = self._family.to_json()
        if self._record is None:
            name = f"{self._outside}"
            self._record = handle.record(KIND, name, undo, durable=False)
        else:
            self._record.update(undo)

    def end(self) -> None:
        """Hang up, wait for the outside, and forget the record.

        Raises: StateError when a process can't end now; its record stays.
        """
        if os.getpid() != self._owner:
            return  # a forked copy of the notebook: the child isn't the copy's
        with uninterrupted():
            self.channel.hang_up()
            gone = self._end_both()
            self.channel.close()
            self._said = self.said()
            self._output.close()
        if not gone:
            raise _unkillable()
        if self._record is not None:
            self._record.forget()

    def _end_both(self) -> bool:
        if not _ends(self._outside):
            kill(self._outside)
        # Not yet waited for: as long as the outside is a zombie, its pid and its
        # session's number are its own.
        how = os.waitid(os.P_PID, self._outside, os.WEXITED | os.WNOWAIT)
        clean = how is not None and (how.si_code, how.si_status) == (os.CLD_EXITED, 0)
        gone = clean or self._family is None or self._family.end()
        os.waitpid(self._outside, 0)
        return gone


def _ends(pid: HostPid) -> bool:
    pidfd = os.pidfd_open(pid)
    try:
        return bool(select.select([pidfd], [], [], _PATIENCE_S)[0])
    finally:
        os.close(pidfd)


def _unkillable() -> StateError:
    return StateError(
        "the child has been killed, but a process of it can't end",
        "thaw its cgroup: it ends at once then; or wait for the disk",
        "kill(2)",
        meaning="a frozen process, or one that waits for a device, dies later",
    )
