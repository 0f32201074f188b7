"""The verbs pause and resume: processes stop where they are, and go on."""

from __future__ import annotations

from labkit.errors import StateError
from labkit.runtime.oci import groups
from labkit.runtime.oci.container import CREATED, PAUSED, RUNNING, Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from labkit.runtime.oci.command import Call


def pause(call: Call) -> None:
    """Stop all processes of a container where they are.

    labkit-oci pause CONTAINER
    """
    _set(call, frozen=True, allowed=(RUNNING, CREATED))


def resume(call: Call) -> None:
    """Let the processes of a paused container go on.

    labkit-oci resume CONTAINER
    """
    _set(call, frozen=False, allowed=(PAUSED,))


def _set(call: Call, *, frozen: bool, allowed: tuple[str, ...]) -> None:
    container = Container(call.root, call.given.word(0, "the container's name"))
    container.lock()
    record = container.read()
    status = container.status(record)
    if status not in allowed:
        raise StateError(
            f'cannot {call.verb} a container that is {status}: "{container.id}"',
            f"{call.verb} is for one that is {' or '.join(allowed)}",
        )
    groups.freeze(record.cgroups, on=frozen)
