"""More steps for a plan that is there: a network, volumes. Chapters 13 and 14.

after(plan, Fork, steps)         right behind the first step of a type
before(plan, PivotRoot, steps)   right in front of it
"""

from __future__ import annotations

from labkit.errors import OrderError
from labkit.plan.plan import Plan
from labkit.plan.step import Step


def after(plan: Plan, kind: type[Step], steps: Plan) -> Plan:
    """Return the plan with steps right behind the first one of a type.

    Raises: OrderError when the plan has none.
    """
    return _split(plan, _place(plan, kind) + 1, steps)


def before(plan: Plan, kind: type[Step], steps: Plan) -> Plan:
    """Return the plan with steps right in front of the first one of a type.

    Raises: OrderError when the plan has none.
    """
    return _split(plan, _place(plan, kind), steps)


def _place(plan: Plan, kind: type[Step]) -> int:
    for index, step in enumerate(plan.steps):
        if isinstance(step, kind):
            return index
    raise OrderError(f"this plan has no {kind.__name__}")


def _split(plan: Plan, index: int, steps: Plan) -> Plan:
    return Plan(*plan.steps[:index], steps, *plan.steps[index:])
