"""Where the lab's state lies, and on what kind of filesystem. Chapter 06 needs to know.

LABKIT_STATE                          if it is set
/var/lib/labkit                       for root
$XDG_STATE_HOME/labkit                otherwise; by default ~/.local/state/labkit
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from labkit.linux.proc import PROC, mounts
from labkit.linux.views import HostPath
from labkit.values import dataclass

VARIABLE = "LABKIT_STATE"
_FOR_ROOT = HostPath("/var/lib/labkit")


@dataclass(frozen=True, slots=True)
class StatePlace:
    """The state directory, whether it is made or not, and its filesystem's type."""

    path: HostPath = _FOR_ROOT
    filesystem: str = ""
    writable: bool = True  # it is, or it could be made

    def __str__(self) -> str:
        barred = "" if self.writable else ", which you can't write"
        return f"{self.path} on {self.filesystem}{barred}"


def state_location(environ: Mapping[str, str], *, root_user: bool) -> HostPath:
    """Return where the state is or would be.

    Args: environ [the caller's environment]; root_user [the effective uid is 0].
    Returns: host path, absolute.
    Raises: nothing.
    Needs: nothing.
    Spec: XDG Base Directory Specification: a relative XDG_STATE_HOME counts as unset.
    """
    if chosen := environ.get(VARIABLE):
        return HostPath(os.path.abspath(os.path.expanduser(chosen)))
    if root_user:
        return _FOR_ROOT
    states = environ.get("XDG_STATE_HOME", "")
    states = states if os.path.isabs(states) else os.path.expanduser("~/.local/state")
    return HostPath(os.path.join(states, "labkit"))


def read_state_place(
    environ: Mapping[str, str], proc: str = PROC, *, root_user: bool
) -> StatePlace:
    """Look where the state lies, or would lie, and whether this user can write there.

    Args: environ [the caller's environment]; proc [the host's, or a fixture's];
        root_user [the effective uid is 0].
    Returns: the place.
    Raises: StateError without /proc.
    Needs: nothing.
    """
    from pathlib import Path  # here, because a runtime waits for its import in vain

    path = state_location(environ, root_user=root_user)
    nearest = next(p for p in (Path(path), *Path(path).parents) if os.path.lexists(p))
    writable = os.access(nearest, os.W_OK | os.X_OK, effective_ids=True)
    return StatePlace(path, filesystem_type(path, proc), writable and nearest.is_dir())


def filesystem_type(path: HostPath, proc: str = PROC) -> str:
    """Return the type of the filesystem that a path lies or would lie on.

    Args: path [host path; need not exist]; proc [the host's, or a fixture's].
    Returns: the type, as ext4, tmpfs or overlay.
    Raises: StateError without /proc.
    Needs: nothing.
    Kernel: proc_pid_mountinfo(5).
    """
    from pathlib import Path

    real = Path(os.path.realpath(path))
    above = [one for one in mounts(proc=proc) if real.is_relative_to(one.target)]
    # The longest mount point is the nearest; of equal ones the later hides the other.
    ranked = ((len(one.target), index) for index, one in enumerate(above))
    _, nearest = max(ranked, default=(0, -1))
    return above[nearest].fstype if above else "unknown"
