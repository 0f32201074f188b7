"""What a cell shows when the lab raises an error: three lines, not forty.

The traceback is one fold away, and `%tb` shows it, too. Errors that are not the lab's
keep their usual look.
"""

from __future__ import annotations

import re
import sys
from types import TracebackType
from typing import Any

from IPython.display import display

from labkit.errors import LabError
from labkit.widgets.html import Html, page, tag

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def error_card(error: LabError, traceback: str = "") -> Html:
    """Return an error's three lines: the call, what it means here, what to try."""
    call = tag("div", error.message, class_="call")
    means = tag("div", error.meaning, class_="means") if error.meaning else None
    see = f" (see {error.see})" if error.see else ""
    tries = tag("div", tag("b", "try"), f" {error.hint}{see}", class_="try")
    fold = tag("details", tag("summary", "full traceback"), tag("pre", traceback))
    return tag(
        "section",
        call,
        means,
        tries if error.hint else None,
        fold if traceback else None,
        class_="lk lk-error",
        role="alert",
        aria_label=type(error).__name__,
    )


def catch_errors(shell: Any) -> None:
    """Have IPython show every LabError that reaches a cell as a card."""
    shell.set_custom_exc((LabError,), _show)


def _show(
    shell: Any,
    kind: type[LabError],
    error: LabError,
    trace: TracebackType,
    tb_offset: int | None = None,
) -> list[str]:
    # What IPython does for other errors: %tb and %debug look there.
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, trace
    lines = shell.InteractiveTB.structured_traceback(
        kind, error, trace, tb_offset=tb_offset
    )
    full = _COLOURS.sub("", "\n".join(lines))
    bundle = {"text/html": page(error_card(error, full)), "text/plain": str(error)}
    display(bundle, raw=True)
    # For those who see no card: terminals, logs, nbval; the style sheet hides it here.
    first, *rest = str(error).splitlines()
    three = [f"\x1b[31m{kind.__name__}\x1b[0m: {first}", *rest]
    shell._showtraceback(kind, error, three)
    return three
