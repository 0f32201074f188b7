"""Volumes: data that outlives its container. Chapter 14.

mounts      what -v, --mount and --tmpfs say, as values
volume      named volumes on disk: made, seeded, used, removed
placing     a container's mounts as steps of its plan
"""

from labkit.volumes.mounts import Mount, read_mount, read_tmpfs, read_volume
from labkit.volumes.volume import Volume

__all__ = ["Mount", "Volume", "read_mount", "read_tmpfs", "read_volume"]
