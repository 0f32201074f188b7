"""The image store: blobs, and names for some of them. Chapter 11.

    index.json    {"manifests": [{"digest": "sha256:9c7a...", "annotations":
                    {"org.opencontainers.image.ref.name":
                     "docker.io/library/alpine:latest"}}]}
    blobs, ingest   see blobs.py

The whole directory is an OCI layout: umoci and skopeo read it, too. Several processes
may use it at once. Who needs blobs to stay that no name protects yet holds a lease.

Reading order: Store, NoSuchImage, Pruned.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from labkit import state
from labkit.errors import DocumentError, StateError
from labkit.image import locks, manifest, media_types
from labkit.image.blobs import Blobs
from labkit.image.descriptor import REFERENCE_NAME, Descriptor
from labkit.image.digest import Digest
from labkit.image.fields import read_document
from labkit.image.manifest import Index, Manifest
from labkit.image.reference import Reference
from labkit.linux.views import HostPath

_PRUNE_WAIT_S = 10


class NoSuchImage(StateError):
    """No image has this name here."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What nothing used, and is gone."""

    blobs: tuple[Digest, ...]
    bytes: int

    def __repr__(self) -> str:
        return f"<Pruned: {len(self.blobs)} blobs, {self.bytes} bytes>"


class Store(Blobs):
    """Images on the disk. Args: root [host path; made if need be]."""

    @classmethod
    def default(cls) -> Store:
        """Return the lab's own store, in its state directory."""
        return cls(state.directory("images"))

    def tag(self, reference: Reference, descriptor: Descriptor) -> None:
        """Give an image a name; whatever had the name before loses it.

        Args: reference; descriptor [of a manifest or an index that is here].
        Raises: NoSuchImage when its bytes aren't here.
        """
        if not self.has(descriptor.digest):
            raise _no_such_image(str(descriptor.digest))
        name = str(reference)
        notes = {**descriptor.annotations, REFERENCE_NAME: name}
        named = replace(descriptor, annotations=notes)
        with self._changing():
            others = [one for one in self._index().manifests if _name(one) != name]
            self._save([*others, named])

    def untag(self, reference: Reference) -> Descriptor:
        """Take a name away; the blobs stay until `prune`.

        Returns: what had the name.
        Raises: NoSuchImage.
        """
        with self._changing():
            found = self.resolve(reference)
            name = _name(found)
            self._save([one for one in self._index().manifests if _name(one) != name])
        return found

    def resolve(self, reference: Reference) -> Descriptor:
        """Return the manifest or index that a name means.

        Args: reference [with a digest: the name must mean that one].
        Raises: NoSuchImage.
        """
        for known, descriptor in self.references().items():
            if known == reference or _means(known, descriptor, reference):
                return descriptor
        raise _no_such_image(reference.familiar)

    def references(self) -> Mapping[Reference, Descriptor]:
        """Return every name with what it means, in the order of the names."""
        found: dict[Reference, Descriptor] = {}
        for descriptor in self._index().manifests:
            # Another tool may have written a name that is no reference.
            with suppress(DocumentError):
                found[Reference.parse(_name(descriptor))] = descriptor
        return dict(sorted(found.items(), key=lambda row: str(row[0])))

    def documents(
        self, top: Descriptor
    ) -> Iterator[tuple[Descriptor, Manifest | Index]]:
        """Yield a manifest; or an index, after those that it leads to and are here.

        Each once, however many lead to it: else a few small indexes, each of which
        names the next one a hundred times, would never come to an end.

        Raises: what `read` raises; DocumentError.
        """
        todo, entered, done = [top], set[Digest](), set[Digest]()
        while todo:
            descriptor = todo.pop()
            if descriptor.digest in done:
                continue
            document = manifest.parse(self.read(descriptor), descriptor.media_type)
            if isinstance(document, Index) and descriptor.digest not in entered:
                entered.add(descriptor.digest)
                there = [one for one in document.manifests if self.has(one.digest)]
                todo += [descriptor, *reversed(there)]
                continue
            done.add(descriptor.digest)
            yield descriptor, document

    def reachable(self, tops: Iterable[Descriptor]) -> set[Digest]:
        """Return the digests of these, and of all that they lead to, here or not.

        Raises: what `read` raises; DocumentError.
        """
        todo, seen, found = list(tops), set[Digest](), set[Digest]()
        while todo:
            descriptor = todo.pop()
            found.add(descriptor.digest)
            if descriptor.digest not in seen and self._leads_on(descriptor):
                seen.add(descriptor.digest)
                todo += children(manifest.parse(self.read(descriptor)))
        return found

    def lease(self) -> AbstractContextManager[None]:
        """Hold back `prune` in all processes, for blobs that have no name yet."""
        return locks.hold(os.path.join(self.root, "lock"), alone=False)

    def prune(
        self, keep: Iterable[Digest] = (), *, among: Iterable[Digest] | None = None
    ) -> Pruned:
        """Remove the blobs that no name leads to.

        Args: keep [manifests, indexes or blobs in use otherwise: by a container]; among
            [only these; None: all, and what broken ingests left].
        Raises: StateError while somebody holds a lease; DocumentError or DigestMismatch
            when a document can't be read, since what it leads to isn't known then.
        """
        with locks.hold(f"{self.root}/lock", alone=True, timeout_s=_PRUNE_WAIT_S):
            kept = self._kept(keep)
            there = list(self.all())
            asked = there if among is None else set(among).intersection(there)
            unused = tuple(digest for digest in asked if digest not in kept)
            partial = Path(self.root, "ingest").iterdir() if among is None else ()
            paths = [*map(Path, map(self.path, unused)), *partial]
            size = sum(path.stat().st_size for path in paths)
            for path in paths:
                path.unlink()
        return Pruned(unused, size)

    def _kept(self, keep: Iterable[Digest]) -> set[Digest]:
        kept = set(keep)
        used = [self._descriptor(digest) for digest in kept if self.has(digest)]
        return kept | self.reachable([*self._index().manifests, *used])

    def _leads_on(self, descriptor: Descriptor) -> bool:
        kinds = (*media_types.INDEXES, *media_types.MANIFESTS)
        # An index may name manifests for other platforms that were never fetched.
        return descriptor.media_type in kinds and self.has(descriptor.digest)

    def _descriptor(self, digest: Digest) -> Descriptor:
        # Of a blob of which only the digest is known: a document, or some other bytes.
        size = os.path.getsize(self.path(digest))
        with suppress(DocumentError):
            data = self.read(Descriptor("", digest, size))
            return Descriptor(manifest.parse(data).media_type, digest, size)
        return Descriptor("", digest, size)

    def _changing(self) -> AbstractContextManager[None]:
        return locks.hold(os.path.join(self.root, "index.lock"), alone=True)

    def _index(self) -> Index:
        try:
            data = Path(self.root, "index.json").read_bytes()
        except FileNotFoundError:
            return Index(())
        return Index.from_json(read_document(data, f"{self.root}/index.json"))

    def _save(self, manifests: list[Descriptor]) -> None:
        data = Index(tuple(sorted(manifests, key=_name))).to_bytes()
        state.write(HostPath(f"{self.root}/index.json"), data.decode())


def children(document: Manifest | Index) -> tuple[Descriptor, ...]:
    """Return what a document leads to."""
    if isinstance(document, Index):
        return document.manifests
    return (document.config, *document.layers)


def _name(descriptor: Descriptor) -> str:
    return descriptor.annotations.get(REFERENCE_NAME, "")


def _means(known: Reference, descriptor: Descriptor, wanted: Reference) -> bool:
    return (
        known.name == wanted.name
        and wanted.digest == descriptor.digest
        and wanted.tag in (None, known.tag)
    )


def _no_such_image(name: str) -> NoSuchImage:
    return NoSuchImage(
        f"image {name}: not here",
        f"labkit pull {name}, or labkit images for those that are here",
        "chapter 11",
        meaning="the lab's image store has no image of this name",
    )
