"""Gate: a step at which the inside waits until somebody opens it. Chapter 09.

Who opens it need not be who launched the plan, and hears what becomes of the rest: the
answer is a descriptor that closes on exec, so its end-of-file says that a program sits
in the inside now; an error comes through it as JSON.
"""

from __future__ import annotations

import json
import os

from labkit.plan.channel import Message
from labkit.plan.step import Step
from labkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Gate(Step):
    """Wait to be let through.

    Args: start_fd [readable when the gate is opened]; answer_fd [where an error goes].
    """

    start_fd: int
    answer_fd: int

    def tell(self, error: Message) -> None:
        """Tell whoever opened the gate why a later step failed."""
        os.write(self.answer_fd, json.dumps(error).encode())
