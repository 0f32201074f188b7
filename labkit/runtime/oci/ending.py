"""The verbs kill and delete: a container's end, and what is left of it afterwards."""

from __future__ import annotations

import os
import signal

from labkit.errors import DocumentError, StateError
from labkit.runtime.oci import groups
from labkit.runtime.oci.container import (
    CREATED,
    PAUSED,
    RUNNING,
    STOPPED,
    Container,
    read_hooks,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from labkit.runtime.oci.command import Call
    from labkit.runtime.oci.container import Record

_PATIENCE_MS = 10_000


def kill(call: Call) -> None:
    """Send a signal to a container's first process: SIGTERM if none is named.

    labkit-oci kill [options] CONTAINER [SIGNAL]

      -a, --all  to all its processes
    """
    given = call.given
    container = Container(call.root, given.word(0, "the container's name"))
    record = container.read()
    number = signal_number(given.words[1] if len(given.words) > 1 else "SIGTERM")
    status = container.status(record)
    if given.on("all"):
        _signal_all(record, number)
    elif status not in (CREATED, RUNNING, PAUSED):
        raise StateError(
            f'container not running: "{container.id}" is {status}',
            f"labkit-oci state {container.id}",
        )
    else:
        _signal_first(record, number)
    # A frozen process can't die before it is thawed.
    if status == PAUSED and number == signal.SIGKILL:
        groups.freeze(record.cgroups, on=False)


def delete(call: Call) -> None:
    """Remove what is left of a container that has ended or was never started.

    labkit-oci delete [options] CONTAINER

      -f, --force  end it first if it runs; well, too, if there is none
    """
    container = Container(call.root, call.given.word(0, "the container's name"))
    force = call.given.on("force")
    try:
        container.lock()
        record = container.read()
    except StateError:
        if not force:
            raise
        clear(container)
        return
    status = container.status(record)
    if status not in (STOPPED, CREATED) and not force:
        raise StateError(
            f'cannot delete container "{container.id}" that is not stopped: {status}',
            f"labkit-oci kill {container.id} KILL, or delete --force",
        )
    remove(container, record)


def remove(container: Container, record: Record) -> None:
    """End a container if it lives, remove its cgroups and directory, run its hooks."""
    end(record)
    hooks = read_hooks(container)
    container.forget()
    if "poststop" in hooks:
        from labkit.runtime.oci.hooks import after_stop

        after_stop(hooks, record)


def end(record: Record) -> None:
    """Kill what a record says is there, and remove its cgroups."""
    _end_first(record)
    groups.end(record.cgroups)
    groups.remove(record.cgroups)


def clear(container: Container) -> None:
    """Remove what a killed `create` left: a directory whose record has no process."""
    if not os.path.isdir(container.directory) or container.busy():
        return
    try:
        record = container.read()
    except StateError:
        container.forget()  # killed before it wrote down anything, so before it made it
        return
    if not record.pid:
        end(record)
        container.forget()


def remove_if_there(container: Container, record: Record) -> None:
    """Remove a container that somebody else may have deleted meanwhile."""
    if os.path.isdir(container.directory):
        remove(container, record)


def signal_number(word: str) -> int:
    """Return a signal's number: of "9", "KILL" or "SIGKILL".

    Raises: DocumentError when there is no such signal.
    """
    if word.isdigit():
        number = int(word)
        if 0 <= number <= signal.SIGRTMAX:
            return number
    name = word.upper()
    found = getattr(signal, name if name.startswith("SIG") else f"SIG{name}", None)
    if isinstance(found, signal.Signals):
        return found.value
    raise DocumentError(
        f"unknown signal {word}", "a name or a number, as TERM or 15", "signal(7)"
    )


def _signal_first(record: Record, number: int) -> None:
    if number == 0 or groups.send(record.pid, number):
        return
    raise StateError("container not running", f"labkit-oci state {record.id}")


def _signal_all(record: Record, number: int) -> None:
    for pid in groups.pids(record.cgroups):
        groups.send(pid, number)


def _end_first(record: Record) -> None:
    # Also without a cgroup of its own: when the first process of a PID namespace ends,
    # the kernel ends all others in it.
    from labkit.runtime.oci.container import start_time

    if not record.pid or start_time(record.pid) != record.pid_start:
        return
    pidfd = os.pidfd_open(record.pid)
    try:
        # After pidfd_open, because the pid could have become another process's before.
        if start_time(record.pid) == record.pid_start:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            _wait(pidfd, record)
    finally:
        os.close(pidfd)


def _wait(pidfd: int, record: Record) -> None:
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if not poll.poll(1) and groups.frozen(record.cgroups):
        groups.freeze(record.cgroups, on=False)
    poll.poll(_PATIENCE_MS)
