"""Removing what no repository needs any more. Chapter 12.

Deleting a manifest forgets it; its layers may belong to others, so their bytes stay
until somebody looks at all of them:

    1. a link to a blob that no manifest of its repository needs is removed, unless it
       is young: somebody may be pushing, and the manifest comes last
    2. a blob that no repository has a link to is removed

Nobody can make a link meanwhile, so nothing is removed that was just found again.

Reading order: collect, Collected.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from labkit.image.digest import Digest
from labkit.registry.server.manifests import parts_of
from labkit.registry.server.storage import Repository, Storage
from labkit.registry.server.uploads import forget_stale

YOUNG_S = 60 * 60


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed."""

    links: int
    blobs: int
    bytes: int


def collect(storage: Storage, *, young_s: float = YOUNG_S) -> Collected:
    """Remove links and blobs that nothing needs.

    Args: young_s [links younger than that stay].
    Raises: OSError.
    """
    with storage.collecting():
        repositories = [storage.repository(name) for name in storage.repositories()]
        links = sum(_unlink(repository, young_s) for repository in repositories)
        linked = {digest for one in repositories for digest in _linked(one)}
        blobs = size = 0
        for place in (storage.root / "blobs").glob("*/*"):
            if Digest(f"{place.parent.name}:{place.name}") not in linked:
                blobs, size = blobs + 1, size + place.stat().st_size
                place.unlink()
        # A kill between the writing of a small file and its renaming leaves it here.
        for half in (storage.root / "unfinished").iterdir():
            if time.time() - half.stat().st_mtime > young_s:
                half.unlink()
    return Collected(links, blobs, size)


def _unlink(repository: Repository, young_s: float) -> int:
    forget_stale(repository)
    needed = {
        digest for one in repository.manifests for digest in _needs(repository, one)
    }
    oldest = time.time() - young_s
    old = [
        digest
        for digest in repository.blobs
        if digest not in needed and repository.blobs.touched(digest) <= oldest
    ]
    for digest in old:
        repository.blobs.remove(digest)
    return len(old)


def _needs(repository: Repository, manifest: Digest) -> set[Digest]:
    return set(parts_of(repository.storage.blob(manifest).read_bytes()))


def _linked(repository: Repository) -> set[Digest]:
    return {*repository.blobs, *repository.manifests}
