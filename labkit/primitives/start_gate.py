"""AwaitStart: a container that is made, and waits to be started. Chapter 09.

    create      labkit-oci ... AwaitStart ...      start
                opens two fifos,      waits        opens the gate,
                leaves                 |           hears how it went
                                       v
                                      Exec

An OCI runtime makes a container with one command and starts it with another, which may
come days later. Between the two the container's first process stands at this step.

The two fifos are in the container's state directory; the step has descriptors of them,
because after pivot_root no path leads there. `labkit.runtime.start_gate` makes and
opens them.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.linux.syscalls import Linux
from labkit.plan.gate import Gate
from labkit.values import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class AwaitStart(Gate):
    """Wait until somebody starts the container.

    A descriptor that is open for reading and writing never sees end-of-file: so it
    waits on, whoever comes and goes.

    Args: start_fd, answer_fd [what `start_gate.make` returned].
    Raises: EBADF for a descriptor that isn't open.
    Needs: nothing.
    Kernel: fifo(7). Spec: OCI runtime, Lifecycle.
    """

    man: ClassVar[tuple[str, ...]] = ("fifo(7)", "read(2)")

    def describe(self) -> str:
        return "wait to be started"

    def apply(self, linux: Linux) -> int | None:
        linux.read(self.start_fd, 1)
        linux.close(self.start_fd)
        return None

    def __repr__(self) -> str:
        return "AwaitStart()"
