"""A descriptor: what a blob is, its name and its size; and a platform. Chapter 11.

    {"mediaType": "application/vnd.oci.image.manifest.v1+json",
     "digest": "sha256:...", "size": 527,
     "platform": {"os": "linux", "architecture": "amd64"}}

Documents of an image point at one another by descriptors: whoever trusts the first
can check all the others.

Reading order: Descriptor, Platform.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labkit.host import machine
from labkit.image.digest import Digest
from labkit.image.fields import Fields

REFERENCE_NAME = "org.opencontainers.image.ref.name"
"""The annotation under which an index.json says a reference."""

# Linux's name of a machine -> architecture and variant as Go names them, which the
# specification took over (GOARCH).
_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
    "riscv64": ("riscv64", ""),
    "ppc64le": ("ppc64le", ""),
    "s390x": ("s390x", ""),
}
# What these architectures are when no variant is said.
_USUAL_VARIANT = {"arm64": "v8", "arm": "v7"}


@dataclass(frozen=True, slots=True)
class Platform:
    """Which operating system and processor an image is for."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    @classmethod
    def here(cls) -> Platform:
        """Return this machine's."""
        name = machine.machine_name()
        return cls("linux", *_ARCHITECTURES.get(name, (name, "")))

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read os/architecture or os/architecture/variant, as --platform takes it."""
        os, _, rest = text.partition("/")
        architecture, _, variant = rest.partition("/")
        if not architecture:
            return cls("linux", os)
        return cls(os, architecture, variant)

    @classmethod
    def from_json(cls, fields: Fields) -> Platform:
        """Read a platform object."""
        return cls(
            fields.text("os"),
            fields.text("architecture"),
            fields.text("variant", ""),
            fields.text("os.version", ""),
            fields.texts("os.features"),
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as a document has it; what is empty is left out."""
        return _without_empty(
            {
                "architecture": self.architecture,
                "os": self.os,
                "os.version": self.os_version,
                "os.features": list(self.os_features),
                "variant": self.variant,
            }
        )

    def runs_on(self, other: Platform) -> bool:
        """Say whether an image for this platform runs on the other one."""
        return (self.os, self.architecture, self._full_variant()) == (
            other.os,
            other.architecture,
            other._full_variant(),
        )

    def _full_variant(self) -> str:
        return self.variant or _USUAL_VARIANT.get(self.architecture, "")

    def __str__(self) -> str:
        parts = (self.os, self.architecture, self.variant)
        return "/".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a blob is, its name, and how long it is."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    artifact_type: str = ""
    urls: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: bytes, media_type: str) -> Descriptor:
        """Return the descriptor of bytes."""
        return cls(media_type, Digest.of(data), len(data))

    @classmethod
    def from_json(cls, fields: Fields) -> Descriptor:
        """Read a descriptor.

        Raises: DocumentError with the place of what is wrong.
        Spec: image-spec, descriptor.md.
        """
        platform = fields.part("platform")
        return cls(
            fields.text("mediaType"),
            Digest(fields.text("digest")),
            fields.number("size"),
            Platform.from_json(platform) if platform.value else None,
            fields.mapping("annotations"),
            fields.text("artifactType", ""),
            fields.texts("urls"),
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as a document has it; what is empty is left out."""
        platform = self.platform.to_json() if self.platform else {}
        required = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        rest = {
            "platform": platform,
            "annotations": dict(self.annotations),
            "artifactType": self.artifact_type,
            "urls": list(self.urls),
        }
        return required | _without_empty(rest)

    def __repr__(self) -> str:
        return f"<Descriptor {self.media_type}, {self.size} bytes>"


def _without_empty(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value}
