"""A marker: a file outside, with a secret in it, for those who try to get out.

A chapter that says "she is out" must show it: what was read inside is compared with
what the lab wrote outside.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import ClassVar, Self

from labkit import state
from labkit.linux.views import HostPath
from labkit.plan import handle
from labkit.plan.handle import Handle

_FOLDER = "markers"


class Marker(Handle):
    """A file that no container has any business reading, until `remove`."""

    kind: ClassVar[str] = "marker"

    def __init__(self, name: str, folder: HostPath, record: handle.Record) -> None:
        self.name, self._folder, self._record = name, folder, record
        self.path = HostPath(os.path.join(folder, "marker"))
        self.text = (
            f"You are outside: this file is the host's.\n{secrets.token_hex(8)}\n"
        )

    @classmethod
    def create(cls, name: str) -> Self:
        """Write a marker with a new secret; one of ours with that name is replaced.

        Args: name [a file name].
        Raises: StateError when another running notebook has one of that name;
            HostError when the state directory can't be written.
        Needs: write permission there.
        """
        folder = HostPath(os.path.join(state.directory(_FOLDER), name))
        handle.take_over(cls.kind, name)
        record = handle.record(cls.kind, name, {"directory": folder})
        marker = cls(name, folder, record)
        os.makedirs(folder, exist_ok=True)
        Path(marker.path).write_text(marker.text)
        return marker

    @property
    def first_line(self) -> str:
        """The part without the secret: the same at every run."""
        return self.text.partition("\n")[0]

    def remove(self) -> None:
        """Remove the file. May be called twice."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._record.forget()
