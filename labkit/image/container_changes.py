"""What a container has changed becomes an image: diff, commit, export. Chapter 11.

    box = Overlay.find("box")
    diff(box)                         A /root/notes, C /etc/hosts, D /bin/ls
    commit(store, trees, box, name)   the image below, and one layer more
    export(box, write)                all that the container sees, as one archive

Reading order: diff, commit, export.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from labkit.image.archives import put
from labkit.image.config import Config, History
from labkit.image.descriptor import Descriptor, Platform
from labkit.image.image import Image, images
from labkit.image.new_layer import put_layer
from labkit.image.reference import Reference
from labkit.image.store import Store
from labkit.image.trees import Trees
from labkit.layers.below import Below
from labkit.layers.pack import changed_in_upper, whole, write
from labkit.linux.views import HostPath
from labkit.primitives.layers import EntryKind, Source, Tree, lay
from labkit.primitives.overlay import Overlay

_LETTERS = {
    EntryKind.NEW: "A",
    EntryKind.COPIED_UP: "C",
    EntryKind.OPAQUE: "C",
    EntryKind.WHITEOUT: "D",
}


def diff(box: Overlay) -> Iterator[tuple[str, str]]:
    """Yield what a container has added (A), changed (C) and removed (D), by path."""
    for entry in box.tree():
        if entry.kind in _LETTERS:
            yield _LETTERS[entry.kind], str(entry.path)


def commit(
    store: Store,
    trees: Trees,
    box: Overlay,
    name: Reference,
    change: Callable[[Config], Config] = lambda config: config,
) -> Descriptor:
    """Make an image of a container's files: the image below them, and its changes.

    A container that wasn't made from an image gets a layer for its root, too.

    Args: store; trees [where its image is unpacked]; box; name; change [of the config,
        before it is written].
    Returns: the manifest's descriptor.
    Raises: HostError: ENOSPC; OSError when a file can't be read.
    """
    with store.lease():
        config, layers = _base(store, trees, box)
        packed = put_layer(store, changed_in_upper(box.upperdir, _below(box)))
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        entry = History(created_by=f"labkit commit {box.name}", created=now)
        config = replace(
            config,
            diff_ids=(*config.diff_ids, packed.diff_id),
            history=(*config.history, entry),
            created=now,
        )
        return put(store, change(config), (*layers, packed.descriptor), name)


def export(box: Overlay, to: Callable[[bytes], object]) -> None:
    """Write everything that a container sees as one archive of files.

    Args: box; to [takes the bytes].
    """
    sources = (box.upperdir, *box.lowerdirs)
    write(whole(_merged(sources, box.marks)), to)


def export_image(trees: Trees, image: Image, to: Callable[[bytes], object]) -> None:
    """Write everything that a new container of an image would see.

    Args: trees [where it is unpacked, if need be]; image; to [takes the bytes].
    """
    write(whole(_merged(trees.unpack(image), trees.marks)), to)


def _base(
    store: Store, trees: Trees, box: Overlay
) -> tuple[Config, tuple[Descriptor, ...]]:
    for _, image in images(store):
        if isinstance(image, Image) and image.layers:
            paths = [trees.path(layer.chain_id) for layer in image.layers]
            if paths[::-1] == list(box.lowerdirs):
                return image.config, image.manifest.layers
    root = put_layer(store, whole(_merged(box.lowerdirs, box.marks)))
    history = (History(created_by="labkit commit: the root below"),)
    config = Config(Platform.here(), (root.diff_id,), history=history)
    return config, (root.descriptor,)


def _below(box: Overlay) -> Below:
    return Below(box.lowerdirs, box.marks)


def _merged(directories: tuple[HostPath, ...], marks: str) -> Tree:
    tree: Tree | None = None
    for path in reversed(directories):
        tree = lay(Source(path, path, marks), tree)
    assert tree is not None  # an overlay, and an image with layers, has at least one
    return tree
