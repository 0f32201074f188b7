"""What lies outside: a secret, somebody's process, and a place that can be written."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Outside:
    """A directory of the host's that no container was given."""

    directory: Path
    secret: str = field(default_factory=lambda: secrets.token_hex(16))

    def __post_init__(self) -> None:
        self.directory.mkdir()
        self.file.write_text(self.secret)

    @property
    def file(self) -> Path:
        return self.directory / "secret"

    @contextmanager
    def neighbour(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run a process of the host's, with the secret in its environment."""
        sleeping = subprocess.Popen(
            ["sleep", "1000"], env={**os.environ, "SECRET": self.secret}
        )
        try:
            yield sleeping
        finally:
            sleeping.kill()
            sleeping.wait()

    @contextmanager
    def descriptor(self) -> Iterator[int]:
        """Open the directory, and forget to close it on exec."""
        fd = os.open(self.directory, os.O_PATH | os.O_DIRECTORY)
        os.set_inheritable(fd, True)
        try:
            yield fd
        finally:
            os.close(fd)
