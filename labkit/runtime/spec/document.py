"""Spec: a whole config.json.

Spec: config.md of the OCI runtime specification, 1.0 to 1.2; any 1.x is taken.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from labkit.errors import DocumentError
from labkit.linux.views import HostPath
from labkit.runtime.spec.linux import Linux
from labkit.runtime.spec.mounts import Hooks, Mount
from labkit.runtime.spec.node import Node
from labkit.runtime.spec.process import Process
from labkit.values import dataclass, field

VERSION = "1.2.0"
"""The version of the specification that this runtime writes and was made for."""

_NAME = "config.json"


@dataclass(frozen=True, slots=True)
class Root:
    """root: the container's file tree; a relative path begins at the bundle."""

    path: str = "rootfs"
    readonly: bool = False

    @classmethod
    def read(cls, node: Node) -> Root:
        """Read the section."""
        node.needs("path")
        return cls(node.text("path"), node.flag("readonly"))


@dataclass(frozen=True, slots=True)
class Spec:
    """A config.json, read and checked. `raw` is the document as it was."""

    oci_version: str
    root: Root = Root()
    process: Process | None = None
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    hooks: Hooks = Hooks()
    annotations: dict[str, str] = field(default_factory=dict)
    linux: Linux = Linux()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, bundle: HostPath, name: str = _NAME) -> Spec:
        """Read the configuration of a bundle.

        Args: bundle [host path of the directory]; name [of the file in it].
        Raises: DocumentError when it isn't there, is no JSON, or has a wrong field.
        """
        return cls.from_json(document_in(os.path.join(bundle, name)), name)

    @classmethod
    def from_json(cls, document: object, name: str = _NAME) -> Spec:
        """Read a document that was parsed already.

        Raises: DocumentError that names the field as a JSON pointer.
        """
        if not isinstance(document, dict):
            raise DocumentError(
                f"{name}: is no object", "`labkit-oci spec` writes an example"
            )
        node = Node(document, name)
        node.needs("ociVersion", "root")
        _check_version(node)
        return cls(
            node.text("ociVersion"),
            node.one("root", Root.read) or Root(),
            node.one("process", Process.read),
            node.text("hostname"),
            node.text("domainname"),
            node.each("mounts", Mount.read),
            node.one("hooks", Hooks.read) or Hooks(),
            node.map("annotations"),
            node.one("linux", Linux.read) or Linux(),
            document,
        )

    @classmethod
    def default(cls, *, rootless: bool = False) -> Spec:
        """Return the example that `labkit-oci spec` writes; its `raw` is the document.

        Args: rootless [for an ordinary user: a user namespace, and no limits].
        """
        from labkit.runtime.spec.default import example

        return cls.from_json(example(rootless=rootless))


def document_in(path: str) -> Any:
    """Return the JSON document in a file.

    Raises: DocumentError when it isn't there or is no JSON: then with line and column.
    """
    name = os.path.basename(path)
    try:
        with open(path, "rb") as file:
            return json.loads(file.read())
    except FileNotFoundError:
        raise DocumentError(
            f"{path}: no such file or directory",
            "`labkit-oci spec` writes an example there",
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise DocumentError(
            f"{name}: is no JSON: {problem}", "mend it at that place"
        ) from None


def _check_version(node: Node) -> None:
    major, dot, _ = node.text("ociVersion").partition(".")
    if major != "1" or not dot:
        version = node.text("ociVersion")
        problem = f'"{version}" is no version 1.x of the specification'
        raise node.refusal("ociVersion", problem, f'write "{VERSION}"')
