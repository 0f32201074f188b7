"""Whose view a path, a pid or an id is: types that cost nothing when run.

The mistake that this subject invites is mixing views: pid 1 with pid 4711, uid 0
inside with uid 100000 outside, a path in the container with one on the host. A type
checker finds them when every value says whose it is.
"""

from __future__ import annotations

from typing import NewType

HostPath = NewType("HostPath", str)
"""A path as the notebook's process sees it."""

ContainerPath = NewType("ContainerPath", str)
"""A path as a process inside the container sees it."""

HostPid = NewType("HostPid", int)
"""A process id in the notebook's PID namespace."""

ContainerPid = NewType("ContainerPid", int)
"""A process id in the container's PID namespace."""

HostId = NewType("HostId", int)
"""A user or group id in the notebook's user namespace."""

ContainerId = NewType("ContainerId", int)
"""A user or group id in the container's user namespace."""
