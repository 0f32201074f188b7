"""Pushing an image: its blobs side by side, then its documents. Chapter 12.

    layers, config -> manifest -> index -> tag

The other way round than pulling, because a registry may refuse a manifest whose parts
it doesn't have, and because whoever sees the tag must find all of it.

Reading order: push.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial

from labkit.errors import LabError
from labkit.image.descriptor import Descriptor, Platform
from labkit.image.digest import Digest
from labkit.image.manifest import Manifest, parse
from labkit.image.reference import Reference
from labkit.image.store import Store, children
from labkit.registry.client import referrers, upload
from labkit.registry.client.progress import Subscriber, nobody
from labkit.registry.client.repository import Document, Repository
from labkit.registry.client.session import Session, Terms
from labkit.registry.client.together import AT_ONCE, together


def push(
    reference: Reference,
    store: Store,
    terms: Terms | None = None,
    subscriber: Subscriber = nobody,
    chunk_bytes: int = 0,
) -> Descriptor:
    """Send an image to the registry that its name says.

    An index of which only some images are here can't be pushed as it is: the image for
    this machine is pushed instead, as Docker does.

    Args: reference [of an image in the store]; chunk_bytes [0: each blob whole].
    Returns: what the tag means there now.
    Raises: NoSuchImage; RegistryError; DigestMismatch when the store is damaged.
    Spec: distribution-spec, "Push".
    """
    with store.lease(), Session(reference.registry, terms) as session:
        repository = Repository(session, reference.repository)
        top = _complete(store, store.resolve(reference))
        documents = list(_documents(store, top))
        sources = _sources(store, reference)
        jobs = []
        for blob in _blobs(documents):
            how = upload.Sending(sources.get(blob.digest, ""), chunk_bytes)
            jobs.append(partial(_pushing, repository, blob, store, how))
        together(jobs, subscriber, AT_ONCE)
        # The top one comes last, and is the only one that gets the tag.
        for document in documents[:-1]:
            _put(repository, document.digest, document)
        _put(repository, reference.tag or top.digest, documents[-1])
    return top


def _pushing(
    repository: Repository,
    blob: Descriptor,
    store: Store,
    how: upload.Sending,
    tell: Subscriber,
) -> None:
    upload.push(repository, blob, store, tell, how)


def _put(repository: Repository, which: str, document: Document) -> None:
    answer = repository.put_manifest(which, document)
    manifest = document.parsed
    subject = manifest.subject if isinstance(manifest, Manifest) else None
    if subject and not answer.headers.get("OCI-Subject"):
        referrers.note(repository, subject.digest, document)


def _complete(store: Store, top: Descriptor) -> Descriptor:
    while True:
        document = parse(store.read(top), top.media_type)
        if isinstance(document, Manifest):
            return top
        if all(store.has(one.digest) for one in document.manifests):
            return top
        top = document.choose(Platform.here())


def _documents(store: Store, top: Descriptor) -> Iterator[Document]:
    for one, _ in store.documents(top):
        yield Document(store.read(one), one.media_type, one.digest)


def _blobs(documents: list[Document]) -> list[Descriptor]:
    manifests = [m for one in documents if isinstance(m := one.parsed, Manifest)]
    parts = [part for m in manifests for part in children(m)]
    return list({part.digest: part for part in parts}.values())


def _sources(store: Store, target: Reference) -> Mapping[Digest, str]:
    # Images of the same registry that are here came from there, or went there: their
    # blobs need not travel again.
    sources: dict[Digest, str] = {}
    for known, descriptor in store.references().items():
        if known.registry == target.registry and known.repository != target.repository:
            # A name whose documents can't be read is no reason not to push this one.
            with suppress(LabError):
                there = _blobs(list(_documents(store, descriptor)))
                sources |= {blob.digest: known.repository for blob in there}
    return sources
