"""Named volumes: a directory each, with a note of who uses it. Chapter 14.

    <state>/volumes/NAME/_data         what the containers see
    <state>/volumes/NAME/volume.json   when it was made, its labels
    <state>/volumes/NAME/users/web     the container that uses it, and who runs that

A volume belongs to nobody: no container's end removes it, and `labkit sweep` doesn't.

Reading order: Volume.
Left out: drivers; sizes.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from labkit import state
from labkit.errors import StateError
from labkit.linux.views import HostPath
from labkit.plan.family import start_time
from labkit.plan.handle import checked_name
from labkit.primitives.overlay import remove_tree
from labkit.text import Text

_FOLDER = "volumes"


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume; `create` and `of` make the value."""

    name: str
    created: str = field(compare=False)  # RFC 3339
    labels: tuple[tuple[str, str], ...] = ()

    @classmethod
    def create(cls, name: str = "", labels: Mapping[str, str] | None = None) -> Self:
        """Make a volume; one of that name is kept as it is.

        Args: name ["" for one that is found: 64 hexadecimal digits, as Docker's].
        Raises: DocumentError for a name that can't be a file's; HostError when the
            state can't be written.
        """
        name = checked_name("volume", name or secrets.token_hex(32))
        with _locked():
            there = cls._read(name)
            if there is not None:
                return there
            now = datetime.now(UTC).isoformat(timespec="seconds")
            made = cls(name, now, tuple((labels or {}).items()))
            for folder in (made.path, _users(name)):
                os.makedirs(folder, exist_ok=True)
            # The document last: what has none is no volume yet, and is made again.
            text = json.dumps({"created": now, "labels": dict(made.labels)})
            state.write(_document(name), text)
            return made

    @classmethod
    def of(cls, name: str) -> Self:
        """Return the volume of a name.

        Raises: StateError when there is none.
        """
        there = cls._read(name)
        if there is None:
            raise StateError(f"volume {name!r}: there is none of this name")
        return there

    @classmethod
    def all(cls) -> tuple[Self, ...]:
        """Return every volume, by name."""
        paths = sorted(Path(state.location(), _FOLDER).glob("*/volume.json"))
        found = (cls._read(path.parent.name) for path in paths)
        return tuple(volume for volume in found if volume is not None)

    @property
    def path(self) -> HostPath:
        """Where its data is."""
        return HostPath(os.path.join(_directory(self.name), "_data"))

    @property
    def empty(self) -> bool:
        """Whether nothing was ever put into it."""
        with os.scandir(self.path) as entries:
            return next(entries, None) is None

    @property
    def users(self) -> tuple[str, ...]:
        """The containers that use it, by name."""
        return tuple(sorted(path.name for path in _living(self.name)))

    def use(self, container: str) -> None:
        """Note that a container of this process uses it."""
        me = os.getpid()
        note = json.dumps({"owner": me, "owner_start": start_time(me)})
        path = HostPath(os.path.join(_users(self.name), container))
        with _locked():
            Volume.of(self.name)  # somebody may have removed it just now
            state.write(path, note, durable=False)

    def leave(self, container: str) -> None:
        """Note that a container doesn't use it any more. May be called twice."""
        Path(_users(self.name), container).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove it with its data. May be called twice.

        Raises: StateError when a container uses it.
        """
        with _locked():
            if self.users:
                raise StateError(
                    f"volume {self.name!r}: in use",
                    "remove what uses it first",
                    meaning=f"by the container {', '.join(self.users)}",
                )
            remove_tree(HostPath(_directory(self.name)))

    def text(self) -> Text:
        """Return its name, its place and its users."""
        users = ", ".join(self.users) or "nobody"
        return Text(f"volume {self.name}: {self.path}, used by {users}")

    @classmethod
    def _read(cls, name: str) -> Self | None:
        try:
            fields: dict[str, Any] = json.loads(Path(_document(name)).read_bytes())
            return cls(name, fields["created"], tuple(fields["labels"].items()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise StateError(
                f"volume {name!r}: its file can't be read",
                f"look into {_directory(name)}, and remove it",
                meaning="another version of the lab wrote it, or a disk lost a part",
            ) from None


@contextmanager
def _locked() -> Iterator[None]:
    with state.lock(_FOLDER):
        yield


def _living(name: str) -> Iterator[Path]:
    folder = Path(_users(name))
    for path in folder.iterdir() if folder.is_dir() else ():
        try:
            note = json.loads(path.read_bytes())
        except (FileNotFoundError, ValueError):
            continue  # it has left just now, or never arrived: a kill in between
        if start_time(note["owner"]) == note["owner_start"]:
            yield path


def _directory(name: str) -> str:
    return os.path.join(state.location(), _FOLDER, checked_name("volume", name))


def _document(name: str) -> HostPath:
    return HostPath(os.path.join(_directory(name), "volume.json"))


def _users(name: str) -> str:
    return os.path.join(_directory(name), "users")
