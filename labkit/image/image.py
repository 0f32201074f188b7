"""An image: its documents, read from a store and compared with one another. Chapter 11.

    image = Image.find(store, "alpine")
    image.id           the config's digest: what docker images calls IMAGE ID
    image.layers       each with its digests, its size and the instruction that made it
    image.config       how it starts; every instruction, those without a layer too

Reading order: Image, Layer, chain_ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from labkit.errors import DocumentError
from labkit.image import manifest
from labkit.image.config import Config, History
from labkit.image.descriptor import Descriptor, Platform
from labkit.image.digest import Digest
from labkit.image.manifest import Index, Manifest
from labkit.image.reference import Reference
from labkit.image.store import NoSuchImage, Store
from labkit.text import one_line

_DEEPEST_INDEX = 4


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of an image, and what is known about it without unpacking it."""

    descriptor: Descriptor
    diff_id: Digest
    chain_id: Digest
    history: History

    @property
    def instruction(self) -> str:
        """What made it, as the image says; anybody can write anything there."""
        return self.history.created_by or self.history.comment

    def __repr__(self) -> str:
        return f"<Layer {self.instruction or 'of unknown origin'}>"


@dataclass(frozen=True)
class Image:
    """One image for one platform; `named` is what its name means: perhaps an index."""

    store: Store
    named: Descriptor
    descriptor: Descriptor  # of the manifest
    manifest: Manifest
    config: Config

    @classmethod
    def find(cls, store: Store, name: str, platform: Platform | None = None) -> Image:
        """Return the image of a name, of a digest, or of an id's first digits.

        Args: store; name [as people type it]; platform [None: this machine's].
        Raises: NoSuchImage; DocumentError for a name that is none, for a digest that
            means several images, or when no image is for the platform.
        """
        if re.fullmatch(r"(sha256:)?[0-9a-f]{6,64}", name):
            found = _by_digest(store, name.removeprefix("sha256:"))
            if found is not None:
                return cls.load(store, found, platform)
        return cls.load(store, store.resolve(Reference.parse(name)), platform)

    @classmethod
    def load(
        cls, store: Store, named: Descriptor, platform: Platform | None = None
    ) -> Image:
        """Read the documents of an image.

        Args: store; named [a manifest's or an index's descriptor]; platform [None: this
            machine's].
        Raises: DocumentError when they don't fit together; DigestMismatch; NoSuchBlob.
        Spec: image-spec, image-index.md, manifest.md, config.md.
        """
        descriptor = named
        for _ in range(_DEEPEST_INDEX):
            document = manifest.parse(store.read(descriptor), descriptor.media_type)
            if isinstance(document, Manifest):
                config = _config(store, document)
                return cls(store, named, descriptor, document, config)
            descriptor = document.choose(platform or Platform.here())
        raise DocumentError(
            f"index {named.digest}: indexes in indexes, {_DEEPEST_INDEX} deep",
            "get the image from somebody else",
            meaning="an index leads to manifests, seldom to another index",
        )

    @property
    def id(self) -> Digest:
        """The digest of the config: the same however the layers are compressed."""
        return self.manifest.config.digest

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, the lowest first."""
        ids = self.config.diff_ids
        made = [entry for entry in self.config.history if not entry.empty_layer]
        if len(made) != len(ids):  # a history is optional, and only for people
            made = [History()] * len(ids)
        rows = zip(self.manifest.layers, ids, chain_ids(ids), made, strict=True)
        return tuple(Layer(*row) for row in rows)

    @property
    def size(self) -> int:
        """Bytes of its blobs: what a registry sends."""
        return self.manifest.config.size + sum(la.size for la in self.manifest.layers)

    def __repr__(self) -> str:
        return f"<Image for {self.config.platform}, {len(self.manifest.layers)} layers>"


def chain_ids(diff_ids: Sequence[Digest]) -> tuple[Digest, ...]:
    """Return a name for each layer together with all those below it.

    Two images whose lowest layers are the same share them on the disk.

    Spec: image-spec, config.md, "Layer ChainID".
    """
    chain: list[Digest] = []
    for diff_id in diff_ids:
        chain.append(Digest.of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)


def images(store: Store) -> Iterable[tuple[Reference, Image | DocumentError]]:
    """Yield every name with its image, or with what is wrong with it."""
    for reference, descriptor in store.references().items():
        try:
            yield reference, Image.load(store, descriptor)
        except DocumentError as problem:
            yield reference, problem


def _config(store: Store, document: Manifest) -> Config:
    if not document.is_image:
        raise DocumentError(
            f'manifest: "{one_line(document.config.media_type)}" is no image\'s config',
            "use it with the program that it was made for",
            "chapter 11",
            meaning="registries keep other things than images, too",
        )
    config = Config.parse(store.read(document.config))
    if len(config.diff_ids) != len(document.layers):
        raise DocumentError(
            f"config: /rootfs/diff_ids: {len(config.diff_ids)} digests for "
            f"{len(document.layers)} layers",
            "get the image from somebody else",
            "chapter 11",
            meaning="manifest and config must speak of the same layers",
        )
    return config


def _by_digest(store: Store, digits: str) -> Descriptor | None:
    found: dict[Digest, Descriptor] = {}
    for _, descriptor in store.references().items():
        known = {descriptor.digest, *_ids(store, descriptor)}
        if any(digest.encoded.startswith(digits) for digest in known):
            found[descriptor.digest] = descriptor
    if len(found) > 1:
        raise DocumentError(
            f"image {digits}: {len(found)} images begin so",
            "write more digits, or a name",
            meaning="an id may be shortened as long as it means one image",
        )
    return next(iter(found.values()), None)


def _ids(store: Store, descriptor: Descriptor) -> tuple[Digest, ...]:
    try:
        document = manifest.parse(store.read(descriptor), descriptor.media_type)
    except (DocumentError, NoSuchImage):
        return ()  # what can't be read has no id; its name still finds it
    if isinstance(document, Index):
        return tuple(one.digest for one in document.manifests)
    return (document.config.digest,)
