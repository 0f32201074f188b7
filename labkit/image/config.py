"""A config: how to start the image's program, and what its layers are. Chapter 11.

    {"architecture": "amd64", "os": "linux",
     "config":  {"Cmd": ["nginx"], "Env": ["PATH=..."], "User": "nginx", ...},
     "rootfs":  {"type": "layers", "diff_ids": ["sha256:...", ...]},
     "history": [{"created_by": "COPY . /app", "empty_layer": false}, ...]}

A diff_id is the digest of a layer that isn't compressed: however a registry packs the
layer, it stays the same. Docker's config has the same form; what only Docker knows
(Healthcheck, OnBuild, Shell) is kept.

Reading order: Config, Execution, History.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from labkit.image.descriptor import Platform
from labkit.image.digest import Digest
from labkit.image.fields import Fields, read_document, to_bytes


@dataclass(frozen=True, slots=True)
class Execution:
    """What a container of this image starts with, unless somebody says otherwise."""

    user: str = ""  # "name", "uid", "uid:gid", as /etc/passwd inside has it
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    working_dir: str = ""
    exposed_ports: tuple[str, ...] = ()  # "80/tcp"
    volumes: tuple[str, ...] = ()  # container paths
    labels: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)  # Healthcheck and the like

    @classmethod
    def from_json(cls, fields: Fields) -> Execution:
        """Read the part of a config that the specification calls `config`."""
        known = cls(
            fields.text("User", ""),
            fields.texts("Env"),
            fields.texts("Entrypoint"),
            fields.texts("Cmd"),
            fields.text("WorkingDir", ""),
            fields.keys("ExposedPorts"),
            fields.keys("Volumes"),
            fields.mapping("Labels"),
            fields.text("StopSignal", ""),
        )
        return replace(known, extra=_rest(fields, cls().to_json(empty=True)))

    def to_json(self, *, empty: bool = False) -> dict[str, Any]:
        """Return it as a config has it.

        Args: empty [True keeps the names without a value].
        """
        document = {
            "User": self.user,
            "Env": list(self.env),
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.cmd),
            "WorkingDir": self.working_dir,
            "ExposedPorts": {port: {} for port in self.exposed_ports},
            "Volumes": {path: {} for path in self.volumes},
            "Labels": dict(self.labels),
            "StopSignal": self.stop_signal,
        }
        return {n: v for n, v in document.items() if v or empty} | dict(self.extra)

    @property
    def argv(self) -> tuple[str, ...]:
        """The program and its arguments."""
        return (*self.entrypoint, *self.cmd)


@dataclass(frozen=True, slots=True)
class History:
    """One instruction of a Dockerfile, or what else made a layer."""

    created_by: str = ""
    created: str = ""  # RFC 3339
    author: str = ""
    comment: str = ""
    empty_layer: bool = False  # it changed the config only

    @classmethod
    def from_json(cls, fields: Fields) -> History:
        """Read one entry of a config's history."""
        return cls(
            fields.text("created_by", ""),
            fields.text("created", ""),
            fields.text("author", ""),
            fields.text("comment", ""),
            fields.truth("empty_layer"),
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as a config has it; what is empty is left out."""
        document = {
            "created": self.created,
            "created_by": self.created_by,
            "author": self.author,
            "comment": self.comment,
            "empty_layer": self.empty_layer,
        }
        return {name: value for name, value in document.items() if value}


@dataclass(frozen=True, slots=True)
class Config:
    """What an image is for, how it starts, which layers it has, and their history."""

    platform: Platform
    diff_ids: tuple[Digest, ...] = ()  # the lowest first
    execution: Execution = field(default_factory=Execution)
    history: tuple[History, ...] = ()
    created: str = ""  # RFC 3339
    author: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> Config:
        """Read a config, OCI's or Docker's.

        Raises: DocumentError with the place of what is wrong.
        Spec: image-spec, config.md.
        """
        fields = read_document(data, "config")
        rootfs = fields.part("rootfs")
        known = cls(
            Platform.from_json(fields),
            tuple(map(Digest, rootfs.texts("diff_ids"))),
            Execution.from_json(fields.part("config")),
            tuple(map(History.from_json, fields.parts("history"))),
            fields.text("created", ""),
            fields.text("author", ""),
        )
        return replace(known, extra=_rest(fields, known.to_json(empty=True)))

    def to_bytes(self) -> bytes:
        """Write the config; its digest is the image's id."""
        return to_bytes(self.to_json())

    def to_json(self, *, empty: bool = False) -> dict[str, Any]:
        """Return the document.

        Args: empty [True keeps the names without a value].
        """
        optional = {"created": self.created, "author": self.author}
        document: dict[str, Any] = {n: v for n, v in optional.items() if v or empty}
        document |= self.platform.to_json()
        document["config"] = self.execution.to_json()
        document["rootfs"] = {
            "type": "layers",
            "diff_ids": [str(digest) for digest in self.diff_ids],
        }
        document["history"] = [entry.to_json() for entry in self.history]
        return document | dict(self.extra)


def _rest(fields: Fields, known: Mapping[str, Any]) -> dict[str, Any]:
    # A config that is changed (commit, build) must not lose what only others read.
    return {name: value for name, value in fields.value.items() if name not in known}
