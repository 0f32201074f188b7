"""A layer that is made now: files go in, a blob in the store comes out. Chapter 11.

Reading order: put_layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from labkit.image import media_types
from labkit.image.descriptor import Descriptor
from labkit.image.digest import Digest
from labkit.image.store import Store
from labkit.layers.compression import Compressor
from labkit.layers.pack import Item, write


@dataclass(frozen=True, slots=True)
class NewLayer:
    """A layer that is in the store now."""

    descriptor: Descriptor
    diff_id: Digest


def put_layer(store: Store, items: Iterable[Item]) -> NewLayer:
    """Make a layer of files and put it into a store.

    Args: store; items [as labkit.layers.pack yields them].
    Raises: HostError: ENOSPC; OSError when a file can't be read.
    Spec: image-spec, layer.md.
    """
    with store.create(media_types.LAYER_GZIP) as blob:
        archive = Compressor(blob.write)
        write(items, archive.write)
        archive.finish()
        return NewLayer(blob.commit(), Digest(archive.digest))
