"""Images in a store, out of archives that a test makes."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

from labkit.image import Config, Digest, History, Manifest, Platform, Store, media_types
from labkit.image.descriptor import Descriptor
from labkit.image.reference import Reference


def put_image(store: Store, name: str, archives: Sequence[bytes]) -> Descriptor:
    """Put an image of these layers, packed by gzip, into a store."""
    layers = [
        store.write(gzip.compress(data, 1, mtime=0), media_types.LAYER_GZIP)
        for data in archives
    ]
    return put_documents(store, name, layers, [Digest.of(data) for data in archives])


def put_documents(
    store: Store, name: str, layers: Sequence[Descriptor], diff_ids: Sequence[Digest]
) -> Descriptor:
    """Write config and manifest for layers that are there, and give them a name."""
    history = tuple(History(created_by=f"layer {n}") for n in range(len(diff_ids)))
    config = Config(Platform.here(), tuple(diff_ids), history=history)
    described = store.write(config.to_bytes(), media_types.CONFIG)
    manifest = Manifest(described, tuple(layers))
    descriptor = store.write(manifest.to_bytes(), media_types.MANIFEST)
    store.tag(Reference.parse(name), descriptor)
    return descriptor
