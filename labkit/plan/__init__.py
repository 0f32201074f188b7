"""Step, Plan, Child, Handle: the four nouns of the lab. Layer 3. Chapter 01.

step       one change, as a value; the rules of order
plan       an ordered tuple of steps
child      a plan being applied: outside.py and inside.py are its two processes,
           processes.py holds them, family.py ends them
events     what a child tells
handle     what stays, and how it is found and removed
program    how a process becomes a program
conversation, channel, pipes   how notebook, outside and inside talk
interrupts what Ctrl-C may not come between
launch     a plan applied by a small process, with nobody looking; gate.py where it
           waits; serial.py how the plan gets there
"""

from labkit.lazy import names_from as _names_from
from labkit.plan.step import (
    After,
    Before,
    FollowedBy,
    FunctionStep,
    Requires,
    Step,
    Where,
    step,
)

TYPE_CHECKING = False  # without typing, whose import takes milliseconds
if TYPE_CHECKING:
    from labkit.plan.child import Child
    from labkit.plan.events import Event, Exit, Result
    from labkit.plan.handle import Handle
    from labkit.plan.plan import Plan

__all__ = [
    "After",
    "Before",
    "Child",
    "Event",
    "Exit",
    "FollowedBy",
    "FunctionStep",
    "Handle",
    "Plan",
    "Requires",
    "Result",
    "Step",
    "Where",
    "step",
]

# Loaded when they are first asked for: who launches a plan has no notebook's child.
_HOMES = {
    "child": ("Child",),
    "events": ("Event", "Exit", "Result"),
    "handle": ("Handle",),
    "plan": ("Plan",),
}

__getattr__ = _names_from(__name__, _HOMES)
