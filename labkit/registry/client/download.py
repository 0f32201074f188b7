"""One blob on its way in: from where it broke off, checked at its end. Chapter 12.

Reading order: fetch.
"""

from __future__ import annotations

import re

from labkit.image.descriptor import Descriptor
from labkit.image.digest import DigestMismatch
from labkit.image.ingest import Ingest
from labkit.image.store import Store
from labkit.registry.client.progress import Moved, Phase, Subscriber
from labkit.registry.client.refusals import nonsense, unreachable
from labkit.registry.client.repository import Repository
from labkit.registry.client.wire import Broken, Response, blocks

_ENOUGH = 1 << 20  # bytes that count as getting on


def fetch(
    repository: Repository, descriptor: Descriptor, store: Store, tell: Subscriber
) -> None:
    """Bring a blob into the store, and go on where an earlier try ended.

    Raises: RegistryError; DigestMismatch; HostError when the disk is full.
    """
    if store.has(descriptor.digest):
        _tell(tell, descriptor, Phase.THERE, descriptor.size)
        return
    try:
        _fetch(repository, descriptor, store, tell)
    except _StaleStart as stale:
        # What an earlier try left was wrong, and is thrown away by now.
        tell(Moved(descriptor.digest, Phase.AGAIN, 0, descriptor.size, str(stale)))
        _fetch(repository, descriptor, store, tell)


class _StaleStart(Exception):
    """The bytes that were there before, or those that came after, are wrong."""


def _fetch(
    repository: Repository, descriptor: Descriptor, store: Store, tell: Subscriber
) -> None:
    with store.ingest(descriptor) as blob:
        begun = blob.offset
        _go_on(repository, descriptor, blob, tell)
        try:
            blob.commit()
        except DigestMismatch as wrong:
            if begun:
                raise _StaleStart(wrong.message) from wrong
            raise
    _tell(tell, descriptor, Phase.DONE, descriptor.size)


def _go_on(
    repository: Repository, descriptor: Descriptor, blob: Ingest, tell: Subscriber
) -> None:
    session, failures, best = repository.session, 0, blob.offset
    while blob.offset < descriptor.size:
        try:
            response = repository.open_blob(descriptor.digest, blob.offset)
            _copy(response, descriptor, blob, tell)
        except Broken as broken:
            if blob.offset >= best + _ENOUGH:
                failures, best = 0, blob.offset
            failures += 1
            asked = f"GET {descriptor.digest.short} from {session.registry}"
            problem = unreachable(asked, str(broken))
            if failures >= session.terms.patience.tries:
                raise problem from broken
            _tell(tell, descriptor, Phase.AGAIN, blob.offset, str(broken))
            session.pause(failures, problem)


def _copy(
    response: Response, descriptor: Descriptor, blob: Ingest, tell: Subscriber
) -> None:
    # A server that knows no ranges begins at 0: what is there already is passed over.
    skip = blob.offset - _start(response, descriptor, blob.offset)
    for block in blocks(response):
        fresh = memoryview(block)[skip:] if skip else block
        skip = max(skip - len(block), 0)
        blob.write(fresh)
        _tell(tell, descriptor, Phase.PULLING, blob.offset)
    if blob.offset < descriptor.size:
        raise Broken(f"only {blob.offset} of {descriptor.size} bytes came")


def _start(response: Response, descriptor: Descriptor, offset: int) -> int:
    start = 0
    if response.status == 206:
        said = response.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (\d{1,18})-\d+/(\d+|\*)", said)
        if found is None or int(found[1]) > offset:
            response.close()
            raise nonsense(f"GET {descriptor.digest.short}", f"Content-Range: {said!r}")
        start = int(found[1])
    length = response.headers.get("Content-Length", "")[:19]
    if length.isdecimal() and int(length) != descriptor.size - start:
        response.close()
        found_size = f"{int(length) + start} bytes instead of {descriptor.size}"
        raise nonsense(f"GET {descriptor.digest}", found_size)
    return start


def _tell(
    tell: Subscriber, blob: Descriptor, phase: Phase, done: int, why: str = ""
) -> None:
    tell(Moved(blob.digest, phase, done, blob.size, why))
