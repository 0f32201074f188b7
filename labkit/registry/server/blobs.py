"""The endpoints of blobs: get, push, mount, delete. Chapter 12.

Reading order: get, begin_upload, add_chunk, finish_upload, the rest.
"""

from __future__ import annotations

import os
import re
from http import HTTPStatus

from labkit.image.digest import Digest
from labkit.registry.server import uploads
from labkit.registry.server.exchange import Answer, Request
from labkit.registry.server.refusals import Refused
from labkit.registry.server.storage import Repository, digest_in

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_CHUNK = re.compile(r"(\d{1,18})-(\d{1,18})")


def get(repository: Repository, request: Request, digest: str) -> Answer:
    """Send a blob, or the part of it that a Range asks for.

    Raises: Refused (BLOB_UNKNOWN; BLOB_UPLOAD_INVALID, 416, for a part that isn't).
    Spec: distribution-spec, "Pulling blobs"; RFC 9110, 14.
    """
    name = digest_in(digest)
    # Whoever pushes asks with HEAD; the garbage collection must see that it is wanted.
    pusher = request.method == "HEAD"
    file = (repository.open_for_pusher if pusher else repository.open_blob)(name)
    size = os.fstat(file.fileno()).st_size
    headers = _about(name) | {
        "Content-Type": "application/octet-stream",
        "Accept-Ranges": "bytes",
    }
    asked = _RANGE.fullmatch(request.header("Range"))
    if asked is None or not any(asked.groups()):
        return Answer(HTTPStatus.OK, headers, file=file, length=size)
    try:
        start, end = _part(asked[1], asked[2], size)
    except Refused:
        file.close()
        raise
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    status = HTTPStatus.PARTIAL_CONTENT
    return Answer(status, headers, file=file, start=start, length=end - start)


def delete(repository: Repository, request: Request, digest: str) -> Answer:
    """Let the repository forget a blob; its bytes go with the garbage collection.

    Raises: Refused (BLOB_UNKNOWN).
    """
    name = digest_in(digest)
    repository.open_blob(name).close()
    repository.blobs.remove(name)
    return Answer(HTTPStatus.ACCEPTED)


def begin_upload(repository: Repository, request: Request) -> Answer:
    """Start an upload, take a whole blob, or mount one that another repository has.

    Raises: Refused (DIGEST_INVALID).
    Spec: distribution-spec, "Pushing blobs", "Mounting a blob from another repository".
    """
    if (wanted := request.first("mount")) and _mount(repository, request, wanted):
        return _created(repository, digest_in(wanted))
    whole = request.first("digest")
    algorithm = request.first("digest-algorithm") or "sha256"
    if whole:
        algorithm = digest_in(whole).algorithm
    if algorithm not in ("sha256", "sha512"):
        raise Refused("DIGEST_INVALID", f"{algorithm[:50]}: unknown here")
    upload = uploads.begin(repository, algorithm)
    if not whole:
        return Answer(HTTPStatus.ACCEPTED, upload.headers())
    upload.append(request.body)
    upload.finish(digest_in(whole))
    return _created(repository, digest_in(whole))


def upload_status(repository: Repository, request: Request, name: str) -> Answer:
    """Say how far an upload came."""
    upload = uploads.find(repository, name)
    return Answer(HTTPStatus.NO_CONTENT, upload.headers())


def add_chunk(repository: Repository, request: Request, name: str) -> Answer:
    """Append a chunk, which must begin where the last one ended.

    Raises: Refused (BLOB_UPLOAD_UNKNOWN; BLOB_UPLOAD_INVALID, 416).
    Spec: distribution-spec, "Pushing a blob in chunks".
    """
    upload = uploads.find(repository, name)
    upload.append(request.body, _chunk_start(request))
    return Answer(HTTPStatus.ACCEPTED, upload.headers())


def finish_upload(repository: Repository, request: Request, name: str) -> Answer:
    """Append what comes with the request, check the whole, and keep it.

    Raises: Refused as `add_chunk` does; DIGEST_INVALID.
    """
    upload = uploads.find(repository, name)
    digest = digest_in(request.first("digest"))
    upload.append(request.body, _chunk_start(request))
    upload.finish(digest)
    return _created(repository, digest)


def cancel_upload(repository: Repository, request: Request, name: str) -> Answer:
    """Forget an upload."""
    uploads.find(repository, name).cancel()
    return Answer(HTTPStatus.NO_CONTENT)


def _mount(repository: Repository, request: Request, wanted: str) -> bool:
    # Without "from" the blob may come from anywhere: who may push here may push all
    # repositories. When it isn't there, the answer is an ordinary upload.
    digest = digest_in(wanted)
    storage = repository.storage
    with storage.pushing():
        if source := request.first("from"):
            there = storage.repository(source).blobs.has(digest)
        else:
            there = storage.blob(digest).is_file()
        if there:
            repository.blobs.add(digest)
    return there


def _created(repository: Repository, digest: Digest) -> Answer:
    location = {"Location": f"/v2/{repository.name}/blobs/{digest}"}
    return Answer(HTTPStatus.CREATED, location | _about(digest))


def _about(digest: Digest) -> dict[str, str]:
    return {"Docker-Content-Digest": digest, "ETag": f'"{digest}"'}


def _part(first: str, last: str, size: int) -> tuple[int, int]:
    # bytes=500-999, bytes=500- (to the end), bytes=-500 (the last 500)
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
    else:
        start, end = max(size - int(last), 0), size
    if start >= end:
        raise Refused(
            "SIZE_INVALID",
            f"bytes {first}-{last} aren't in {size} bytes",
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            {"Content-Range": f"bytes */{size}"},
        )
    return start, end


def _chunk_start(request: Request) -> int | None:
    given = request.header("Content-Range")
    if not given:
        return None
    found = _CHUNK.fullmatch(given.removeprefix("bytes ").partition("/")[0])
    length = request.header("Content-Length")
    if found is None or int(found[2]) - int(found[1]) + 1 != int(length or -1):
        message = f"Content-Range: {given[:100]} with Content-Length: {length}"
        raise Refused("SIZE_INVALID", message)
    return int(found[1])
