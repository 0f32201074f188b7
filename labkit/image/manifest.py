"""A manifest: what an image is made of; an index: one for each platform. Chapter 11.

    index     manifests: [descriptor with a platform, ...]
                |
    manifest  config: descriptor, layers: [descriptor, ...] the lowest first
                |                 |
    config    diff_ids, ...     layers: tar archives, usually compressed

Reading order: Manifest, Index, parse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labkit.errors import DocumentError
from labkit.image import media_types
from labkit.image.descriptor import Descriptor, Platform
from labkit.image.fields import Fields, read_document, to_bytes

MOST_LAYERS = 500
"""fs/overlayfs/params.h, OVL_MAX_STACK: more can't be mounted."""

_SCHEMA = 2


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image for one platform, or an artifact: a config, and layers."""

    config: Descriptor
    layers: tuple[Descriptor, ...]  # the lowest first
    media_type: str = media_types.MANIFEST
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    artifact_type: str = ""
    subject: Descriptor | None = None

    @classmethod
    def from_json(cls, fields: Fields, media_type: str) -> Manifest:
        """Read a manifest.

        Raises: DocumentError with the place of what is wrong, or for more layers than
            an overlay can have.
        Spec: image-spec, manifest.md; Docker's manifest, schema 2.
        """
        layers = fields.parts("layers")
        if len(layers) > MOST_LAYERS:
            raise fields.wrong("layers", f"{len(layers)} layers; at most {MOST_LAYERS}")
        subject = fields.part("subject")
        return cls(
            Descriptor.from_json(fields.part("config")),
            tuple(map(Descriptor.from_json, layers)),
            media_type,
            fields.mapping("annotations"),
            fields.text("artifactType", ""),
            Descriptor.from_json(subject) if subject.value else None,
        )

    @property
    def is_image(self) -> bool:
        """Whether it can become a container, and isn't some other artifact."""
        return self.config.media_type in media_types.CONFIGS

    def to_bytes(self) -> bytes:
        """Write the manifest; its digest is the image's."""
        document: dict[str, Any] = {
            "schemaVersion": _SCHEMA,
            "mediaType": self.media_type,
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
        }
        if self.artifact_type:
            document["artifactType"] = self.artifact_type
        if self.subject:
            document["subject"] = self.subject.to_json()
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return to_bytes(document)


@dataclass(frozen=True, slots=True)
class Index:
    """Manifests under one name: usually one for each platform."""

    manifests: tuple[Descriptor, ...]
    media_type: str = media_types.INDEX
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def from_json(cls, fields: Fields, media_type: str = media_types.INDEX) -> Index:
        """Read an index, or Docker's manifest list.

        Raises: DocumentError with the place of what is wrong.
        Spec: image-spec, image-index.md; Docker's manifest list.
        """
        manifests = tuple(map(Descriptor.from_json, fields.parts("manifests")))
        return cls(manifests, media_type, fields.mapping("annotations"))

    def choose(self, platform: Platform) -> Descriptor:
        """Return the first manifest that runs on a platform.

        Raises: DocumentError that lists which there are.
        """
        for manifest in self.manifests:
            if manifest.platform is None or manifest.platform.runs_on(platform):
                return manifest
        there = sorted({str(one.platform) for one in self.manifests})
        raise DocumentError(
            f"index: no image for {platform}",
            "--platform with one of these",
            "chapter 11",
            meaning=f"there are images for: {', '.join(there)[:300] or 'nothing'}",
        )

    def to_bytes(self) -> bytes:
        """Write the index."""
        document: dict[str, Any] = {
            "schemaVersion": _SCHEMA,
            "mediaType": self.media_type,
            "manifests": [manifest.to_json() for manifest in self.manifests],
        }
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return to_bytes(document)


def parse(data: bytes, media_type: str = "") -> Manifest | Index:
    """Read a manifest or an index, whichever the document is.

    Args: data [as it came: its digest is over exactly these bytes]; media_type [what
        the descriptor, or the registry, says that it is; "" when nobody says].
    Raises: DocumentError for another type, or when document and descriptor disagree:
        two readers must never see two different images in the same bytes.
    Spec: image-spec, manifest.md and image-index.md, "mediaType".
    """
    fields = read_document(data, "manifest")
    own = fields.text("mediaType", "")
    if own and media_type and own != media_type:
        raise fields.wrong(
            "mediaType", f'"{own}" in the document, "{media_type}" outside'
        )
    kind = own or media_type or _guess(fields)
    if fields.number("schemaVersion") != _SCHEMA:
        raise fields.wrong("schemaVersion", f"only version {_SCHEMA} is understood")
    if "manifests" in fields.value and {"layers", "config"} & fields.value.keys():
        raise fields.wrong("manifests", "it is a manifest and an index at once")
    if kind in media_types.INDEXES:
        return Index.from_json(fields, kind)
    if kind in media_types.MANIFESTS:
        return Manifest.from_json(fields, kind)
    raise fields.wrong("mediaType", f'"{kind}" is no manifest and no index')


def _guess(fields: Fields) -> str:
    return media_types.INDEX if "manifests" in fields.value else media_types.MANIFEST
