"""Pulling an image: its documents first, then its blobs side by side. Chapter 12.

    tag -> index -> manifest -> config, layers

Every byte is checked against the digest that led to it, so only the first answer, to
the tag, has to be believed; with a digest in the reference nothing has.

Reading order: pull, Wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from labkit.errors import DocumentError
from labkit.image.descriptor import Descriptor, Platform
from labkit.image.digest import Digest
from labkit.image.manifest import Index, Manifest
from labkit.image.reference import Reference
from labkit.image.store import Store
from labkit.registry.client.download import fetch
from labkit.registry.client.progress import Subscriber, nobody
from labkit.registry.client.repository import Document, Repository
from labkit.registry.client.session import Session, Terms
from labkit.registry.client.together import AT_ONCE, together

_DEEPEST = 3  # an index may list indexes: nobody needs more of that
_MOST_IMAGES = 100  # and indexes among them


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to pull of an image that is there for several platforms.

    Args: platform [None: this machine's]; all_platforms; at_once [blobs side by side].
    """

    platform: Platform | None = None
    all_platforms: bool = False
    at_once: int = AT_ONCE


def pull(
    reference: Reference,
    store: Store,
    wanted: Wanted | None = None,
    terms: Terms | None = None,
    subscriber: Subscriber = nobody,
) -> Descriptor:
    """Bring an image into the store, under the name that it was asked for.

    Returns: what the name means now: an index or a manifest.
    Raises: RegistryError; DigestMismatch; DocumentError; HostError when the disk is
        full. What came until then stays, and the next try goes on from there.
    Spec: distribution-spec, "Pull".
    """
    wanted = wanted or Wanted()
    which = reference.digest or reference.tag or ""
    # From the first blob to the name nothing may be pruned.
    with store.lease(), Session(reference.registry, terms) as session:
        repository = Repository(session, reference.repository)
        top = repository.manifest(which)
        found = list(_Finding(repository, store, wanted).documents(top))
        jobs = [partial(fetch, repository, blob, store) for blob in _blobs(found)]
        together(jobs, subscriber, wanted.at_once)
        kept = [_keep(store, document) for document in found]
        # For another platform the name means that image, and not the index from which
        # this machine would choose its own.
        named = kept[0] if wanted.platform else kept[-1]
        store.tag(reference, named)
    return named


class _Finding:
    """The documents of an image, from the registry or, those that are here, from here.

    Each once, and the lowest first: whoever sees one expects to find what it names.
    """

    def __init__(self, repository: Repository, store: Store, wanted: Wanted) -> None:
        self._repository, self._store, self._wanted = repository, store, wanted
        self._seen: set[Digest] = set()

    def documents(self, top: Document, deep: int = 0) -> Iterator[Document]:
        for child in self._chosen(top.parsed):
            if deep == _DEEPEST:
                raise _too_much(f"{top.digest}: an index in an index, {deep} deep")
            if child.digest in self._seen:
                continue
            self._seen.add(child.digest)
            if len(self._seen) > _MOST_IMAGES:
                raise _too_much(f"{top.digest}: more than {_MOST_IMAGES} images")
            yield from self.documents(self._document(child), deep + 1)
        yield top

    def _chosen(self, document: Manifest | Index) -> tuple[Descriptor, ...]:
        if isinstance(document, Manifest):
            return ()
        if self._wanted.all_platforms:
            return document.manifests
        return (document.choose(self._wanted.platform or Platform.here()),)

    def _document(self, wanted: Descriptor) -> Document:
        if self._store.has(wanted.digest):
            data = self._store.read(wanted)
        else:
            data = self._repository.manifest(wanted.digest).data
        if len(data) != wanted.size:
            raise _too_much(f"{wanted.digest}: {len(data)} bytes, not {wanted.size}")
        return Document(data, wanted.media_type, wanted.digest)


def _blobs(found: Iterable[Document]) -> Iterable[Descriptor]:
    manifests = [m for one in found if isinstance(m := one.parsed, Manifest)]
    parts = [part for m in manifests for part in (m.config, *m.layers)]
    return {part.digest: part for part in parts}.values()


def _keep(store: Store, document: Document) -> Descriptor:
    kind = document.parsed.media_type
    descriptor = Descriptor(kind, document.digest, len(document.data))
    with store.ingest(descriptor) as blob:
        blob.write(document.data[blob.offset :])
        return blob.commit()


def _too_much(problem: str) -> DocumentError:
    return DocumentError(
        f"manifest {problem}",
        "another tag, or the same image from another registry",
        "chapter 12",
        meaning="no image is made like that",
    )
