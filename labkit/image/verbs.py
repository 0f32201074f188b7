"""What is done with images that are here: list, name, look into, remove. Chapter 11.

Each function is a word of the command line: `labkit images`, `tag`, `rmi`, `inspect`,
`history`, `images prune`.

Reading order: rows, tag, remove, inspect, prune.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from labkit.errors import DocumentError, StateError
from labkit.image.digest import Digest
from labkit.image.image import Image, chain_ids, images
from labkit.image.reference import Reference
from labkit.image.store import Pruned, Store
from labkit.image.trees import Trees


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `labkit images`."""

    reference: Reference
    id: str  # the first digits
    platform: str
    created: str  # RFC 3339, as the image says
    size: int  # bytes of its blobs
    problem: str = ""


def rows(store: Store) -> Iterator[Row]:
    """Yield a row for each name; an image that can't be read says why."""
    for reference, image in images(store):
        if isinstance(image, DocumentError):
            yield Row(reference, "", "", "", 0, image.message)
            continue
        config = image.config
        platform = str(config.platform)
        yield Row(reference, image.id.short, platform, config.created, image.size)


def tag(store: Store, name: str, new_name: str) -> Reference:
    """Give an image another name.

    Raises: NoSuchImage; DocumentError for a name with a digest, which nobody can give.
    """
    reference = Reference.parse(new_name)
    if reference.digest is not None:
        raise DocumentError(
            f'image "{new_name}": a name that you give has no digest',
            f"labkit tag {name} {reference.name}:{reference.tag or 'latest'}",
            meaning="the digest is that of the bytes: nobody chooses it",
        )
    store.tag(reference, Image.find(store, name).named)
    return reference


def remove(store: Store, name: str, keep: Iterable[Digest] = ()) -> tuple[str, ...]:
    """Take a name away, and with the last one of an image the blobs only it used.

    Args: store; name [or an id, when the image has one name only]; keep [manifests and
        blobs that containers use].
    Returns: the names that are gone.
    Raises: NoSuchImage; StateError for the id of an image with several names.
    """
    reference = _only_name(store, name)
    gone = store.untag(reference)
    # An image is being pulled, or one can't be read: then the blobs are left to `labkit
    # images prune`, which says so.
    with suppress(StateError, DocumentError):
        store.prune(keep, among=store.reachable([gone]))
    return (str(reference),)


def inspect(image: Image) -> dict[str, Any]:
    """Return what is known about an image, as one JSON document."""
    names = image.store.references().items()
    return {
        "Id": str(image.id),
        "RepoTags": [r.familiar for r, d in names if d.digest == image.named.digest],
        "Digest": str(image.descriptor.digest),
        "MediaType": image.manifest.media_type,
        "Size": image.size,
        "Layers": [
            {
                "Digest": str(layer.descriptor.digest),
                "MediaType": layer.descriptor.media_type,
                "Size": layer.descriptor.size,
                "DiffId": str(layer.diff_id),
                "ChainId": str(layer.chain_id),
                "CreatedBy": layer.instruction,
            }
            for layer in image.layers
        ],
        "Config": image.config.to_json(),
    }


def history(image: Image) -> Iterator[tuple[str, int]]:
    """Yield each instruction and the bytes of its layer's blob, the newest first.

    An instruction that changes the config only has no layer, and no bytes.
    """
    layers = list(image.layers)
    for entry in reversed(image.config.history):
        size = 0
        if not entry.empty_layer and layers:
            size = layers.pop().descriptor.size
        yield entry.created_by or entry.comment, size
    for layer in reversed(layers):  # of a history that is shorter than its image
        yield "", layer.descriptor.size


def prune(
    store: Store, trees: Trees, keep: Iterable[Digest] = ()
) -> tuple[Pruned, int]:
    """Remove blobs and unpacked layers that no image and no container uses.

    Args: store; trees; keep [manifests that containers use].
    Returns: what was removed: blobs, and how many unpacked layers.
    Raises: StateError while an image is being pulled or made.
    """
    kept = tuple(keep)
    used: set[Digest] = set()
    for image in (image for _, image in images(store)):
        if isinstance(image, Image):
            used |= set(chain_ids(image.config.diff_ids))
    for digest in kept:
        used |= set(chain_ids(Image.find(store, digest).config.diff_ids))
    return store.prune(kept), trees.prune(used)


def _only_name(store: Store, name: str) -> Reference:
    if re.fullmatch(r"(sha256:)?[0-9a-f]{6,64}", name):
        image = Image.find(store, name)
        rows = store.references().items()
        names = [r for r, d in rows if d.digest == image.named.digest]
        if len(names) > 1:
            raise StateError(
                f"image {name}: it has {len(names)} names",
                f"labkit rmi {' '.join(one.familiar for one in names)}",
                meaning="which of them should go can't be told from an id",
            )
        return names[0]
    reference = Reference.parse(name)
    found = store.resolve(reference)
    known = store.references()
    same = (r for r, d in known.items() if d.digest == found.digest)
    return reference if reference in known else next(same)
