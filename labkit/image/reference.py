"""The name of an image, with every default visible. Chapter 11.

    alpine                   docker.io/library/alpine:latest
    nginx:1.13               docker.io/library/nginx:1.13
    me/app                   docker.io/me/app:latest
    localhost:5000/app:2     localhost:5000/app:2
    ghcr.io/a/b@sha256:...   ghcr.io/a/b@sha256:...
    registry  repository  tag, digest or both

The first part is a registry when it has a dot, a colon or an upper-case letter, or is
`localhost`; that is how `localhost/app` and `me/app` are told apart.

Reading order: Reference, parse's parts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import NoReturn

from labkit.errors import DocumentError
from labkit.image.digest import Digest
from labkit.text import one_line

DEFAULT_REGISTRY, DEFAULT_TAG = "docker.io", "latest"
_OFFICIAL = "library/"
_LONGEST_NAME = 255  # distribution-spec, "Pulling manifests": registry and repository

# The grammar of github.com/distribution/reference, which every client uses.
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = re.compile(
    rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?"
)
_PART = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(f"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """Where an image is (registry, repository), and which one (tag, digest)."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a name as people type it, and fill in what they left out.

        Args: text [name[:tag][@digest]; surrounding spaces are a mistake].
        Returns: the reference; `str()` of it shows every default.
        Raises: DocumentError that says which part can't be understood.
        Spec: distribution-spec, "Pulling manifests"; Docker's grammar of names.
        """
        name, at, digest = text.partition("@")
        name, tag = _split_tag(name)
        registry, repository = _split_registry(name)
        _check(text, registry, repository, tag)
        if tag is None and not at:
            tag = DEFAULT_TAG
        return cls(registry, repository, tag, Digest(digest) if at else None)

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar(self) -> str:
        """The shortest text that means the same: what people type."""
        name = self.name.removeprefix(f"{DEFAULT_REGISTRY}/")
        if name != self.name and name.count("/") == 1:
            name = name.removeprefix(_OFFICIAL)
        return f"{name}{self._which()}"

    def __str__(self) -> str:
        return f"{self.name}{self._which()}"

    def __repr__(self) -> str:
        return f"<Reference {self}>"

    def _which(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag


def _split_tag(name: str) -> tuple[str, str | None]:
    # A colon before the last slash belongs to a port.
    head, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    return f"{head}{slash}{last}", tag if colon else None


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    says_registry = any(c in ".:" or c.isupper() for c in first)
    if slash and (says_registry or first == "localhost"):
        registry, repository = first, rest
    else:
        registry, repository = DEFAULT_REGISTRY, name
    if registry == f"index.{DEFAULT_REGISTRY}":  # its name of long ago
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = f"{_OFFICIAL}{repository}"
    return registry, repository


def _check(text: str, registry: str, repository: str, tag: str | None) -> None:
    if not _is_registry(registry):
        _refuse(text, f'"{registry}" is no registry: a host name, perhaps with :port')
    if re.search("[A-Z]", repository):
        _refuse(text, f'"{repository}" has upper-case letters', text.lower())
    if not _REPOSITORY.fullmatch(repository):
        _refuse(text, f'"{repository}" is no repository: a-z 0-9 between . _ - and /')
    if re.fullmatch("[0-9a-f]{64}", repository.removeprefix(_OFFICIAL)):
        _refuse(text, "64 digits are an image's id, not its name")
    if tag is not None and not _TAG.fullmatch(tag):
        _refuse(text, f'"{tag}" is no tag: at most 128 of A-Z a-z 0-9 _ . -')
    if len(registry) + 1 + len(repository) > _LONGEST_NAME:
        _refuse(text, f"it is longer than {_LONGEST_NAME} characters")


def _is_registry(text: str) -> bool:
    if not _REGISTRY.fullmatch(text):
        return False
    host, _, port = text.removeprefix("[").partition("]:" if text[0] == "[" else ":")
    return int(port or 0) < 1 << 16 and (text[0] != "[" or _is_ipv6(host.strip("]")))


def _is_ipv6(host: str) -> bool:
    try:
        return bool(IPv6Address(host))
    except ValueError:
        return False


def _refuse(text: str, meaning: str, instead: str = "alpine:3.23") -> NoReturn:
    raise DocumentError(
        f'image "{one_line(text)}": no name of an image',
        f"a name like {one_line(instead)}, localhost:5000/app or app@sha256:...",
        "chapter 11",
        meaning=one_line(meaning, 200),
    )
