"""A list of who is about a manifest, for registries that keep none. Chapter 12.

A signature says what it signs in its field `subject`. New registries list who says so;
for older ones the client keeps the list itself, as an index under a tag of this form:

    sha256-9c1b...

Reading order: note, tag.
Spec: distribution-spec, "Pushing Manifests with Subject", "Referrers Tag Schema".
"""

from __future__ import annotations

import re
from dataclasses import replace

from labkit.image.descriptor import Descriptor
from labkit.image.digest import Digest
from labkit.image.manifest import Index, Manifest
from labkit.registry.client.refusals import nonsense
from labkit.registry.client.repository import Document, Repository

_LONGEST_ALGORITHM, _LONGEST_ENCODED = 32, 64


def note(repository: Repository, subject: Digest, document: Document) -> None:
    """Add a manifest to the list of those that are about another one.

    Raises: RegistryError, also when something else has the list's tag.
    """
    name = tag(subject)
    there = repository.digest(name)
    index = repository.manifest(name).parsed if there else Index(())
    if not isinstance(index, Index):
        raise nonsense(f"{repository.name}:{name}", "it is no index")
    if document.digest in [one.digest for one in index.manifests]:
        return
    listed = replace(index, manifests=(*index.manifests, _descriptor(document)))
    data = listed.to_bytes()
    fresh = Document(data, listed.media_type, Digest.of(data))
    repository.put_manifest(name, fresh)


def tag(subject: Digest) -> str:
    """Return the tag under which the list of a manifest is kept."""
    algorithm = subject.algorithm[:_LONGEST_ALGORITHM]
    encoded = subject.encoded[:_LONGEST_ENCODED]
    return re.sub(r"[^A-Za-z0-9._-]", "-", f"{algorithm}-{encoded}")


def _descriptor(document: Document) -> Descriptor:
    manifest = document.parsed
    kind = ""
    if isinstance(manifest, Manifest):
        kind = manifest.artifact_type or manifest.config.media_type
    return Descriptor(
        manifest.media_type,
        document.digest,
        len(document.data),
        annotations=manifest.annotations,
        artifact_type=kind,
    )
