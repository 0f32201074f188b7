"""How a cell shows the lab's values: registered with IPython, type by type.

    from labkit.widgets.formatters import register
    register()

The types know nothing of this; without it, and in a terminal, their repr shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.lib.pretty import RepresentationPrinter

from labkit.course.matrix import Matrix
from labkit.course.verdict import Verdict
from labkit.doctor import Report, examine
from labkit.errors import LabError
from labkit.host import Host
from labkit.linux.call import Call
from labkit.linux.flags import NamespaceType
from labkit.plan import Event, Plan
from labkit.primitives.cgroups.reading import CgroupReading
from labkit.primitives.namespaces import Namespaces
from labkit.primitives.overlay import Overlay
from labkit.widgets import values
from labkit.widgets.doctor_card import doctor_card
from labkit.widgets.error_card import catch_errors, error_card
from labkit.widgets.html import Html, page
from labkit.widgets.matrix_card import matrix_card
from labkit.widgets.plan_view import PlanView, plan_card
from labkit.widgets.still import Draw, Still

PLAIN: dict[type, Callable[[Any], Html]] = {
    Plan: plan_card,
    Matrix: matrix_card,
    LabError: error_card,
    Report: doctor_card,
    Host: lambda host: doctor_card(examine(host)),
}
# These have numbers that differ from run to run: see still.py.
WITH_NUMBERS: dict[type, Callable[..., Html]] = {
    Namespaces: values.kinds_card,
    CgroupReading: values.reading_card,
    Overlay: values.overlay_card,
    Verdict: values.verdict_card,
}


def register(ip: Any = None) -> None:
    """Teach IPython the pictures of the lab's types; outside IPython, do nothing.

    Args: ip [the shell; None for the one that runs].
    """
    shell: Any = ip or get_ipython()
    if shell is None:
        return
    formatter = shell.display_formatter
    html = formatter.formatters["text/html"]
    for kind, draw in PLAIN.items():
        html.for_type(kind, _drawn(draw))
    for kind, draw in WITH_NUMBERS.items():
        formatter.ipython_display_formatter.for_type(kind, _shown(draw))
    formatter.ipython_display_formatter.for_type(Event, lambda event: _events((event,)))
    formatter.ipython_display_formatter.for_type(tuple, _several)
    formatter.formatters["text/plain"].for_type(frozenset, _kinds)
    catch_errors(shell)


def _drawn(draw: Callable[[Any], Html]) -> Callable[[Any], str]:
    return lambda value: page(draw(value))


def _shown(draw: Callable[..., Html]) -> Callable[[Any], None]:
    def show(value: Any) -> None:
        drawn: Draw = lambda *, numbers: draw(value, numbers=numbers)  # noqa: E731
        Still(drawn, repr(value))._ipython_display_()

    return show


def _several(value: tuple[Any, ...]) -> None:
    if value and all(isinstance(one, Event) for one in value):
        _events(value)
    elif value and all(isinstance(one, Call) for one in value):
        drawn: Draw = lambda *, numbers: values.calls_card(value)  # noqa: E731
        Still(drawn, "\n".join(map(repr, value)))._ipython_display_()
    else:
        # IPython's word for "not mine": the tuple is shown as any other.
        raise NotImplementedError


def _events(events: tuple[Event, ...]) -> None:
    PlanView(events)._ipython_display_()


def _kinds(value: frozenset[Any], printer: RepresentationPrinter, cycle: bool) -> None:
    # A set has no order of its own; a difference of namespaces reads as their kinds.
    if value and all(isinstance(one, NamespaceType) for one in value):
        printer.text(
            "{" + ", ".join(kind.value for kind in NamespaceType if kind in value) + "}"
        )
    else:
        printer.text(repr(value))
