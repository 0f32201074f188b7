"""Docker's config.json: names and passwords of registries. Chapter 12.

    ~/.docker/config.json
    {"auths": {"localhost:5000": {"auth": "YWRhOnNlY3JldA=="}}}

That isn't encrypted: base64 is only another way to write "ada:secret". So the file is
for its owner alone, as Docker makes it.

Reading order: Credentials, Login.
Left out: credential helpers, which are programs of their own; names of a part of a
registry, which podman knows.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.errors import DocumentError, HostError
from labkit.image.reference import DEFAULT_REGISTRY

_DOCKER_HUB = "https://index.docker.io/v1/"  # its name of long ago; Docker kept the key


@dataclass(frozen=True, slots=True)
class Login:
    """What one registry has to be shown."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        return bool(self.user or self.identity_token)

    @property
    def basic(self) -> str:
        """The header's value: Basic and both, in base64 (RFC 7617)."""
        return f"Basic {_encoded(self.user, self.password)}"


class Credentials:
    """The file with the logins.

    Args: path [host path; None for $DOCKER_CONFIG/config.json, else
        ~/.docker/config.json].
    """

    def __init__(self, path: Path | None = None) -> None:
        folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
        self.path = path or Path(folder, "config.json")

    def login(self, registry: str) -> Login:
        """Return what is known for a registry, or an empty login.

        Raises: DocumentError when the file can't be understood.
        """
        auths = self._object(self._read(), "auths")
        for key in _keys(registry):
            if key in auths:
                return self._login(key, self._object(auths, key))
        return Login()

    def program(self, registry: str) -> str:
        """Return the credential helper that Docker would ask, or ""."""
        config = self._read()
        chosen = config.get("credHelpers")
        chosen = chosen.get(registry) if isinstance(chosen, dict) else None
        return str(chosen or config.get("credsStore") or "")

    def keep(self, registry: str, login: Login) -> None:
        """Write a login down; other entries stay as they are.

        Raises: DocumentError; HostError when the file can't be written.
        """
        config = self._read()
        entry = {"auth": _encoded(login.user, login.password)}
        auths = {**self._object(config, "auths"), _keys(registry)[0]: entry}
        self._write({**config, "auths": auths})

    def forget(self, registry: str) -> bool:
        """Remove a login; say whether there was one.

        Raises: DocumentError; HostError when the file can't be written.
        """
        config = self._read()
        auths = self._object(config, "auths")
        left = {key: auths[key] for key in auths if key not in _keys(registry)}
        if left == auths:
            return False
        self._write({**config, "auths": left})
        return True

    def _read(self) -> dict[str, Any]:
        try:
            config = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as problem:
            raise self._unusable(problem) from problem
        except (ValueError, RecursionError) as problem:
            raise self._wrong(str(problem)[:100]) from problem
        if not isinstance(config, dict):
            raise self._wrong("no object")
        return config

    def _write(self, config: Mapping[str, Any]) -> None:
        # Through a link, because people keep such files in a repository of their own.
        place = self.path.resolve()
        fresh = place.with_name(f".{place.name}.{os.getpid()}")
        try:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(fd, "w", encoding="utf-8") as file:
                json.dump(config, file, indent="\t")
                file.flush()
                os.fsync(fd)
            fresh.replace(place)
        except OSError as problem:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise self._unusable(problem) from problem

    def _login(self, key: str, entry: Mapping[str, Any]) -> Login:
        try:
            text = base64.b64decode(
                str(entry.get("auth") or ""), validate=True
            ).decode()
        except (binascii.Error, UnicodeDecodeError) as problem:
            raise self._wrong(f"/auths/{key}/auth: no base64") from problem
        user, _, password = text.partition(":")
        return Login(user, password, str(entry.get("identitytoken") or ""))

    def _object(self, config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        found = config.get(name) or {}
        if not isinstance(found, dict):
            raise self._wrong(f"/{name}: no object")
        return found

    def _wrong(self, problem: str) -> DocumentError:
        return DocumentError(
            f"{self.path}: {problem}",
            "mend the file, or move it away and labkit login again",
            "chapter 12",
            meaning="this isn't the form that Docker's config.json has",
        )

    def _unusable(self, problem: OSError) -> HostError:
        return HostError(
            f"{self.path}: {problem.strerror}",
            "set DOCKER_CONFIG to a directory that you can write",
            "chapter 12",
            meaning="logins are kept in this file",
        )


def _keys(registry: str) -> tuple[str, ...]:
    if registry == DEFAULT_REGISTRY:
        return _DOCKER_HUB, DEFAULT_REGISTRY, f"index.{DEFAULT_REGISTRY}"
    return registry, f"https://{registry}", f"http://{registry}"


def _encoded(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()
