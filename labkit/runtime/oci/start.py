"""The verb start: open the gate at which a container's first process waits."""

from __future__ import annotations

from labkit.errors import StateError
from labkit.runtime import start_gate
from labkit.runtime.oci.container import CREATED, Container, read_hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from labkit.runtime.oci.command import Call
    from labkit.runtime.oci.container import Record


def start(call: Call) -> None:
    """Start the program of a container that was created.

    labkit-oci start CONTAINER
    """
    container = Container(call.root, call.given.word(0, "the container's name"))
    container.lock()
    start_created(container, container.read())


def start_created(container: Container, record: Record) -> None:
    """Open the gate, then run the hooks for a started container.

    Raises: StateError when it isn't waiting to be started.
    """
    status = container.status(record)
    if status != CREATED:
        raise StateError(
            f"cannot start a container that has {_PAST.get(status, status)}: "
            f'"{container.id}" is {status}',
            "create it first; a container is started once",
        )
    start_gate.open_gate(container.directory)
    if "poststart" in read_hooks(container):
        from labkit.runtime.oci.hooks import after_start

        after_start(container, record)


_PAST = {"stopped": "stopped", "running": "run", "paused": "run"}
