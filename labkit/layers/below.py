"""What the layers below a layer have under a name. Chapter 11.

Reading order: Below, is_whiteout.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from labkit.linux.views import HostPath


class Below:
    """Layers in the overlay's own form, looked into without mounting them.

    Args: layers [host paths, top first]; marks [how their marks begin, as
        "trusted.overlay."].
    """

    def __init__(self, layers: Sequence[HostPath] = (), marks: str = "") -> None:
        self.layers, self._marks = tuple(layers), marks

    def find(self, path: str) -> HostPath | None:
        """Return where the topmost layer that has a path has it; None: no layer has.

        Args: path [inside, without links on the way].
        Kernel: Documentation/filesystems/overlayfs.rst, "whiteouts and opaque
            directories".
        """
        for layer in self.layers:
            place, seen_through = self._walk(str(layer), path.split("/"))
            if place is not None or not seen_through:
                return place
        return None

    def _walk(self, place: str, names: Sequence[str]) -> tuple[HostPath | None, bool]:
        # Returns the place, and whether the layers below can be seen there. Never
        # through a link: as a host path it would lead to the host's files.
        seen_through = True
        for number, name in enumerate(names, 1):
            place = os.path.join(place, name)
            try:
                found = os.lstat(place)
            except FileNotFoundError:
                return None, seen_through
            if is_whiteout(found):
                return None, False
            if not stat.S_ISDIR(found.st_mode):
                return HostPath(place) if number == len(names) else None, False
            seen_through = seen_through and not self.is_opaque(place)
        return HostPath(place), seen_through

    def is_opaque(self, place: str) -> bool:
        """Say whether a directory hides what the layers below have under its name."""
        try:
            return os.getxattr(place, f"{self._marks}opaque") == b"y"
        except OSError:
            return False  # ENODATA: no mark


def is_whiteout(found: os.stat_result) -> bool:
    """Say whether a file is an overlay's mark that a name is removed."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0
