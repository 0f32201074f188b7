"""Container: a container's directory, what is written there, and its status.

    ROOT/ID/
        lock            held by whoever changes the container
        state.json      who it is, its first process, its cgroups; replaced as a whole
        config.json     the bundle's, as it was when the container was created
        start.fifo      the gate at which its first process waits, until `start`

    creating --> created --> running <--> paused
                        `-------`----> stopped

The status is never written down, because the kernel knows better: the process is there
or not, its cgroup is frozen or not, the gate is still there or not. A killed `create`
leaves a directory whose lock is free and whose record has no process: the next
`create` or `delete --force` of that name clears it away.

Reading order: Container, Record, Status.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os

from labkit.errors import DocumentError, HostError, StateError
from labkit.runtime import start_gate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

CREATING, CREATED, RUNNING = "creating", "created", "running"
PAUSED, STOPPED = "paused", "stopped"

_ALLOWED = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-."
)
_LONGEST_NAME = 1024
_LOCK = "lock"
# Others may pass, because a container's ids are others; only root may list.
_MODE = 0o711


class Record:
    """What state.json says. The names are the specification's, but for the last two.

    Args: pid [host pid of the first process; 0 while there is none]; pid_start [clock
        ticks after boot: a pid alone is used again]; cgroups [controller to host
        directory; "" stands for all controllers at once].
    """

    __slots__ = (
        "annotations", "bundle", "cgroups", "created",
        "id", "pid", "pid_start", "rootfs",
    )  # fmt: skip

    def __init__(self, **fields: Any) -> None:
        self.id: str = fields["id"]
        self.bundle: str = fields["bundle"]
        self.rootfs: str = fields.get("rootfs", "")
        self.annotations: dict[str, str] = fields.get("annotations") or {}
        self.created: str = fields.get("created", "")
        self.pid: int = fields.get("pid", 0)
        self.pid_start: int = fields.get("pid_start", 0)
        self.cgroups: dict[str, str] = fields.get("cgroups") or {}

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON-able mapping."""
        return {name: getattr(self, name) for name in self.__slots__}


class Container:
    """A container by its name below a root directory; nothing is read until asked."""

    __slots__ = ("_lock_fd", "directory", "id", "root")

    def __init__(self, root: str, name: str) -> None:
        if not 0 < len(name) <= _LONGEST_NAME or not _ALLOWED.issuperset(name):
            raise _no_name(name)
        if name in (".", ".."):
            raise _no_name(name)
        self.root, self.id = root, name
        self.directory = os.path.join(root, name)
        self._lock_fd = -1

    def path(self, name: str) -> str:
        """Return the host path of a file in the container's directory."""
        return f"{self.directory}/{name}"

    def make(self) -> None:
        """Make the directory and hold its lock.

        Raises: StateError when there is such a container; HostError when the root
            can't be written.
        """
        try:
            os.makedirs(self.root, _MODE, exist_ok=True)
            os.mkdir(self.directory, _MODE)
        except FileExistsError:
            raise StateError(
                f'container "{self.id}" already exists',
                f"labkit-oci delete --force {self.id}",
                meaning="a name belongs to one container under one root",
            ) from None
        except OSError as refused:
            raise _unusable(self.directory, refused) from refused
        self.lock()

    def lock(self) -> None:
        """Wait until nobody else changes this container; held until the program ends.

        Raises: StateError when there is no such container, or no longer.
        """
        # A record lock, because a forked process doesn't inherit it: the container's
        # first process, which may wait for days, must not keep it.
        path = self.path(_LOCK)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.lockf(fd, fcntl.LOCK_EX)
            # While waiting, its holder may have deleted the container.
            if os.stat(path).st_ino != os.fstat(fd).st_ino:
                raise FileNotFoundError
        except (FileNotFoundError, NotADirectoryError):
            raise self._missing() from None
        self._lock_fd = fd

    def unlock(self) -> None:
        """Let others change it; for a verb that then waits for the container's end."""
        os.close(self._lock_fd)
        self._lock_fd = -1

    def busy(self) -> bool:
        """Say whether somebody holds the lock now; it may be this process."""
        if self._lock_fd >= 0:
            return True
        try:
            fd = os.open(self.path(_LOCK), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: fcntl(2)
            return True
        finally:
            os.close(fd)
        return False

    def read(self) -> Record:
        """Return what is written down about it.

        Raises: StateError when there is no such container, or only a half-made one.
        """
        try:
            with open(self.path("state.json"), "rb") as file:
                return Record(**json.loads(file.read()))
        except (FileNotFoundError, NotADirectoryError):
            raise self._missing() from None

    def write(self, record: Record) -> None:
        """Replace the record as a whole: after a crash it is the old or the new one."""
        self.write_file("state.json", json.dumps(record.to_json()))

    def write_file(self, name: str, text: str) -> None:
        """Replace a file of the directory as a whole.

        Not flushed to the disk: what a power cut ends has no state afterwards.
        """
        fresh = self.path(f".{name}.new")
        try:
            with open(fresh, "w", encoding="utf-8") as file:
                file.write(text)
            os.rename(fresh, self.path(name))
        except OSError as refused:
            raise _unusable(fresh, refused) from refused

    def forget(self) -> None:
        """Remove the directory; state.json first: without it nothing is promised."""
        names = os.listdir(self.directory)
        for name in sorted(names, key=lambda name: name != "state.json"):
            os.unlink(self.path(name))
        os.rmdir(self.directory)

    def status(self, record: Record) -> str:
        """Return the status, as the kernel knows it now."""
        if not record.pid:
            # Nobody holds the lock: it was killed while it was being made.
            return CREATING if self.busy() else STOPPED
        if start_time(record.pid) != record.pid_start:
            return STOPPED
        if start_gate.is_closed(self.directory):
            return CREATED
        return PAUSED if _frozen(record.cgroups) else RUNNING

    def _missing(self) -> StateError:
        """Return the error for a container that isn't there."""
        return StateError(
            f'container "{self.id}" does not exist',
            "labkit-oci list",
            meaning=f"there is none of this name below {self.root}",
        )


def config_of(container: Container) -> dict[str, Any]:
    """Return config.json as it was when the container was created."""
    with open(container.path("config.json"), "rb") as file:
        document: dict[str, Any] = json.loads(file.read())
    return document


def read_hooks(container: Container) -> dict[str, Any]:
    """Return the hooks of config.json by their moments; none before it is there."""
    try:
        return config_of(container).get("hooks") or {}
    except FileNotFoundError:
        return {}


def containers(root: str) -> Iterator[Container]:
    """Yield every container below a root, by name."""
    try:
        names = sorted(os.listdir(root))
    except FileNotFoundError:
        return
    for name in names:
        if os.path.exists(f"{root}/{name}/state.json"):
            yield Container(root, name)


def state_json(record: Record, status: str) -> Mapping[str, Any]:
    """Return the state as the specification has it: for `state`, and for hooks.

    Spec: OCI runtime, State.
    """
    from labkit.runtime.oci.command import SPECIFICATION

    state = {
        "ociVersion": SPECIFICATION,
        "id": record.id,
        "pid": 0 if status == STOPPED else record.pid,
        "status": status,
        "bundle": record.bundle,
    }
    return state | ({"annotations": record.annotations} if record.annotations else {})


def start_time(pid: int) -> int:
    """Return when a process started, in clock ticks after boot; 0 if it has ended.

    Kernel: proc_pid_stat(5), field 22.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, field 2, may hold spaces and parentheses: count from its end.
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def _frozen(cgroups: dict[str, str]) -> bool:
    from labkit.runtime.oci.groups import frozen

    return frozen(cgroups)


def _no_name(name: str) -> DocumentError:
    return DocumentError(
        f'invalid container id "{name}"',
        "letters, digits, and _ + - . ",
        meaning="the name becomes a directory's name",
    )


def _unusable(path: str, refused: OSError) -> HostError:
    name = errno.errorcode.get(refused.errno or 0, "unknown error")
    return HostError(
        f"{path}: {name}: {refused.strerror}",
        "labkit-oci --root DIR, a directory that you can write",
        meaning="the state of containers can't be kept there",
    )
