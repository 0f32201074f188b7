"""Whether the VM's clock runs as fast as this machine's.

Under emulation a saved state remembers how fast the processor's clock ran where it was
saved. On another machine all times in the VM would be wrong, and nothing would say so.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from labkit.errors import HostError
from labkit.vm import saved_state
from labkit.vm.virtual_machine import VirtualMachine

TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Tick:
    """The VM's time, read somewhere between two readings of this machine's."""

    after_s: float
    before_s: float
    inside_s: float


def fits(first: Tick, second: Tick) -> bool:
    """Say whether the VM's clock may be right: a busy machine proves nothing."""
    inside_s = second.inside_s - first.inside_s
    longest_s = second.before_s - first.after_s
    shortest_s = second.after_s - first.before_s
    return (
        shortest_s * (1 - TOLERANCE) <= inside_s <= longest_s * (1 + TOLERANCE) + 0.01
    )


class Rate:
    """Two readings, one when the VM goes on and one when its first kernel is there.

    Args: vm [awake].
    """

    def __init__(self, vm: VirtualMachine) -> None:
        self.vm = vm
        self.asked_s = time.monotonic()
        vm.tell(do="tick")
        self.first = self._tick(vm.wait_for("tick", 10.0))

    def ask(self) -> None:
        """Ask for the second reading."""
        self.asked_s = time.monotonic()
        self.vm.tell(do="tick")

    def check(self, message: dict[str, Any]) -> None:
        """Compare.

        Raises: HostError when the clock is wrong; the saved state is gone then.
        """
        if not fits(self.first, self._tick(message)):
            saved_state.discard()
            raise HostError(
                "lab VM: its clock ran at another speed than this machine's",
                "start the notebook again: Linux boots anew",
                meaning="the saved state was made on another machine, and is removed",
            )

    def _tick(self, message: dict[str, Any]) -> Tick:
        return Tick(self.asked_s, time.monotonic(), message["clock_s"])
