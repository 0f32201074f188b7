"""The endpoints of manifests: get, push, delete, and who refers to one. Chapter 12.

A manifest is kept byte for byte, since its digest is over the bytes; it is read only to
check that what it names is there, and to see what it says about another one.

Reading order: get, put, delete, referrers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus

from labkit.errors import DocumentError
from labkit.image import media_types
from labkit.image.digest import Digest
from labkit.image.fields import LONGEST, Fields, read_document
from labkit.registry.server.exchange import Answer, Request
from labkit.registry.server.refusals import Refused
from labkit.registry.server.storage import Repository, digest_in

# Layers that must be got from elsewhere; image-spec, layer.md.
_ELSEWHERE = ("nondistributable", "foreign")


def get(repository: Repository, request: Request, which: str) -> Answer:
    """Send a manifest, by tag or digest.

    Raises: Refused (MANIFEST_UNKNOWN; 406 when the client accepts no such type).
    Spec: distribution-spec, "Pulling manifests".
    Left out: Docker's registry translates old types and chooses from an index.
    """
    digest = repository.resolve(which)
    kind = repository.manifests.text(digest)
    _must_be_accepted(kind, request)
    data = repository.storage.blob(digest).read_bytes()
    return Answer(HTTPStatus.OK, _about(digest) | {"Content-Type": kind}, data)


def put(repository: Repository, request: Request, which: str) -> Answer:
    """Keep a manifest, and let tags mean it.

    Raises: Refused (MANIFEST_INVALID, DIGEST_INVALID, MANIFEST_BLOB_UNKNOWN).
    Spec: distribution-spec, "Pushing Manifests", "Pushing Manifests with Subject".
    """
    data = _whole(request)
    fields, kind = _understood(data, request.header("Content-Type"))
    digest, tags = _names(data, which, request)
    subject = fields.part("subject")
    with repository.storage.pushing():
        for part in _parts(fields):
            _must_be_there(repository, part)
        if not repository.storage.blob(digest).is_file():
            repository.storage.write(repository.storage.blob(digest), data)
        repository.manifests.add_text(digest, kind)
        if subject.value:
            about = digest_in(subject.text("digest"))
            repository.referrers(about).add_text(
                digest, _descriptor(fields, digest, data)
            )
        for tag in tags:
            repository.tag(tag, digest)
    headers = {"Location": f"/v2/{repository.name}/manifests/{digest}"} | _about(digest)
    if subject.value:
        headers["OCI-Subject"] = subject.text("digest")
    if tags and ":" in which:
        headers["OCI-Tag"] = ", ".join(tags)
    return Answer(HTTPStatus.CREATED, headers)


def delete(repository: Repository, request: Request, which: str) -> Answer:
    """Forget a tag; or a manifest, with the tags that mean it.

    Raises: Refused (MANIFEST_UNKNOWN).
    Spec: distribution-spec, "Deleting tags", "Deleting Manifests".
    """
    digest = repository.resolve(which)
    if ":" not in which:
        repository.untag(which)
        return Answer(HTTPStatus.ACCEPTED)
    for tag in repository.tags():
        if repository.resolve(tag) == digest:
            repository.untag(tag)
    subject = _read(repository.storage.blob(digest).read_bytes()).part("subject")
    if subject.value:
        repository.referrers(digest_in(subject.text("digest"))).remove(digest)
    repository.manifests.remove(digest)
    return Answer(HTTPStatus.ACCEPTED)


def referrers(repository: Repository, request: Request, digest: str) -> Answer:
    """List the manifests whose subject is this one, as an index.

    Spec: distribution-spec, "Listing Referrers".
    """
    links = repository.referrers(digest_in(digest))
    found = [json.loads(links.text(one)) for one in links]
    headers = {"Content-Type": media_types.INDEX}
    if wanted := request.first("artifactType"):
        found = [one for one in found if one.get("artifactType") == wanted]
        headers["OCI-Filters-Applied"] = "artifactType"
    index = {"schemaVersion": 2, "mediaType": media_types.INDEX, "manifests": found}
    return Answer(HTTPStatus.OK, headers, json.dumps(index).encode())


def parts_of(data: bytes) -> Iterator[Digest]:
    """Yield the digests of everything that a manifest needs; the collection asks."""
    for part in _parts(_read(data)):
        yield digest_in(part.text("digest"))


def _whole(request: Request) -> bytes:
    data, buffer = bytearray(), memoryview(bytearray(1 << 16))
    while count := request.body.readinto(buffer):
        data += buffer[:count]
        if len(data) > LONGEST:
            message = f"a manifest has at most {LONGEST} bytes here"
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            raise Refused("MANIFEST_INVALID", message, status)
    return bytes(data)


def _understood(data: bytes, content_type: str) -> tuple[Fields, str]:
    outside = content_type.partition(";")[0].strip()
    try:
        fields = _read(data)
        own = fields.text("mediaType", "")
        if own and outside and own != outside:
            raise fields.wrong("mediaType", f'"{own}", and Content-Type: {outside}')
        for part in (*_parts(fields), fields.part("subject")):
            if part.value:
                Digest(part.text("digest"))
        fields.mapping("annotations")
        fields.text("artifactType", "")
    except DocumentError as wrong:
        raise Refused("MANIFEST_INVALID", wrong.message) from wrong
    guess = media_types.INDEX if "manifests" in fields.value else media_types.MANIFEST
    return fields, own or outside or guess


def _names(data: bytes, which: str, request: Request) -> tuple[Digest, list[str]]:
    if ":" not in which:
        return Digest.of(data), [which]
    digest = digest_in(which)
    found = Digest.of(data, digest.algorithm)
    if found != digest:
        raise Refused("DIGEST_INVALID", f"these bytes are {found}, not {digest}")
    return digest, request.query.get("tag", [])


def _read(data: bytes) -> Fields:
    return read_document(data, "manifest")


def _parts(fields: Fields) -> Iterator[Fields]:
    config = fields.part("config")
    yield from (config,) if config.value else ()
    for name in ("layers", "blobs", "manifests"):
        yield from fields.parts(name)


def _must_be_there(repository: Repository, part: Fields) -> None:
    digest, kind = digest_in(part.text("digest")), part.text("mediaType", "")
    if part.texts("urls") or any(word in kind for word in _ELSEWHERE):
        return
    if not (repository.blobs.has(digest) or repository.manifests.has(digest)):
        message = f"{repository.name} has no {digest}; push it first"
        raise Refused("MANIFEST_BLOB_UNKNOWN", message)


def _descriptor(fields: Fields, digest: Digest, data: bytes) -> str:
    own = fields.text("mediaType", "")
    config = fields.part("config")
    default = config.text("mediaType", "") if config.value else ""
    document = {
        "mediaType": own or media_types.MANIFEST,
        "size": len(data),
        "digest": digest,
        "artifactType": fields.text("artifactType", "") or default,
        "annotations": fields.mapping("annotations"),
    }
    return json.dumps({name: value for name, value in document.items() if value})


def _about(digest: Digest) -> dict[str, str]:
    return {"Docker-Content-Digest": digest, "ETag": f'"{digest}"'}


def _must_be_accepted(kind: str, request: Request) -> None:
    # A header may come twice, and with parameters: text/plain;q=0.5, */*.
    accepted = (request.header("Accept") or "*/*").split(",")
    types = {one.partition(";")[0].strip() for one in accepted}
    if types & {kind, "*/*", "application/*", ""}:
        return
    message = f"this is {kind}, which the client doesn't accept"
    raise Refused("MANIFEST_UNKNOWN", message, HTTPStatus.NOT_ACCEPTABLE)
