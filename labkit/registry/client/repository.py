"""The specification's endpoints as methods. Chapter 12.

Reading order: Repository, Document, Begun.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlencode

from labkit.errors import DocumentError
from labkit.image import media_types
from labkit.image.digest import Digest, DigestMismatch
from labkit.image.fields import LONGEST, read_document
from labkit.image.manifest import Index, Manifest, parse
from labkit.registry.client.refusals import nonsense
from labkit.registry.client.session import Asking, Session
from labkit.registry.client.wire import Broken, Response, read

_ACCEPT = ", ".join((*media_types.INDEXES, *media_types.MANIFESTS))
_FOUND, _MISSING, _MOST_PAGES = (200,), (200, 404), 1000


@dataclass(frozen=True)
class Document:
    """A manifest or an index as a registry sent it: its bytes are its identity."""

    data: bytes
    media_type: str  # "" when nobody said it
    digest: Digest

    @cached_property
    def parsed(self) -> Manifest | Index:
        """What the bytes say.

        Raises: DocumentError.
        """
        return parse(self.data, self.media_type)


@dataclass(frozen=True, slots=True)
class Begun:
    """An upload that has begun: where it goes on, and the least size of a chunk."""

    location: str
    least: int = 0


class Repository:
    """One repository of a registry.

    Args: session; name [library/alpine, team/app].
    """

    def __init__(self, session: Session, name: str) -> None:
        self.session, self.name = session, name
        self._pull = f"repository:{name}:pull"
        self.push_scope = f"repository:{name}:pull,push"

    def manifest(self, which: str) -> Document:
        """Fetch a manifest or an index.

        Args: which [a tag or a digest].
        Raises: RegistryError; DigestMismatch when these aren't the bytes of the digest
            that was asked for, or of the one that the registry itself says.
        Spec: distribution-spec, "Pulling manifests".
        """
        headers = {"Accept": _ACCEPT}
        asking = Asking("GET", self._path("manifests", which), self._pull, headers)
        data, response = self._whole(asking)
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
        if "html" in kind:
            raise nonsense(f"GET {asking.where}", "a web page")
        said = response.headers.get("Docker-Content-Digest") or which
        digest = Digest(which if ":" in which else said) if ":" in said else None
        found = Digest.of(data, digest.algorithm if digest else "sha256")
        if digest not in (None, found):
            raise _mismatch(f"{self.name}: manifest {digest}", found)
        return Document(data, "" if kind == "application/json" else kind, found)

    def digest(self, which: str) -> Digest | None:
        """Ask for a manifest's digest; None when there is no such manifest."""
        headers = {"Accept": _ACCEPT}
        where = self._path("manifests", which)
        asking = Asking("HEAD", where, self.push_scope, headers, good=_MISSING)
        response = self.session.ask(asking)
        read(response, 0)
        said = response.headers.get("Docker-Content-Digest", "")
        return Digest(said) if response.status in _FOUND and said else None

    def put_manifest(self, which: str, document: Document) -> Response:
        """Push a manifest under a tag or its digest.

        Returns: the answer, read.
        Raises: RegistryError; DigestMismatch when the registry has other bytes now.
        Spec: distribution-spec, "Pushing Manifests".
        """
        headers = {"Content-Type": document.media_type}
        where = self._path("manifests", which)
        asking = Asking(
            "PUT", where, self.push_scope, headers, lambda: document.data, (201,)
        )
        response = self.session.ask(asking)
        read(response, LONGEST)
        said = response.headers.get("Docker-Content-Digest", "")
        # Another algorithm says nothing about these bytes.
        if said.startswith("sha256:") and said != Digest.of(document.data):
            raise _mismatch(f"{self.name}: manifest {document.digest}", Digest(said))
        return response

    def has_blob(self, digest: Digest) -> bool:
        """Say whether the repository has a blob; whoever asks is about to push."""
        where = self._path("blobs", digest)
        asking = Asking("HEAD", where, self.push_scope, good=_MISSING)
        response = self.session.ask(asking)
        read(response, 0)
        return response.status in _FOUND

    def open_blob(self, digest: Digest, start: int = 0) -> Response:
        """Begin to fetch a blob from a byte on; the answer may begin at 0 all the same.

        Raises: Broken; RegistryError.
        Spec: distribution-spec, "Pulling blobs"; RFC 9110, 14.2.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        good = (200, 206) if start else _FOUND
        where = self._path("blobs", digest)
        return self.session.ask(Asking("GET", where, self._pull, headers, good=good))

    def mount(self, digest: Digest, source: str) -> Begun | None:
        """Let this repository have a blob of another one; or begin an upload.

        Args: source [name of the other repository; "" to begin an upload].
        Returns: where to upload to, or None when the blob is mounted.
        Raises: RegistryError.
        Spec: distribution-spec, "Mounting a blob from another repository".
        """
        where, scope = f"/v2/{self.name}/blobs/uploads/", self.push_scope
        if source:
            where += f"?{urlencode({'mount': digest, 'from': source})}"
            scope += f" repository:{source}:pull"
        asking = Asking("POST", where, scope, good=(201, 202))
        response = self.session.ask(asking)
        read(response, LONGEST)
        if response.status == 201:
            return None
        location = response.headers.get("Location", "")
        if not location:
            raise nonsense(f"POST {where}", "no Location to upload to")
        least = response.headers.get("OCI-Chunk-Min-Length", "")
        return Begun(location, int(least[:12]) if least.isdecimal() else 0)

    def tags(self) -> Iterable[str]:
        """Yield the tags, page by page.

        Raises: RegistryError.
        Spec: distribution-spec, "Listing Tags".
        """
        where = self._path("tags", "list")
        for _ in range(_MOST_PAGES):
            data, response = self._whole(Asking("GET", where, self._pull))
            yield from read_document(data, f"GET {where}").texts("tags")
            link = response.headers.get("Link", "")
            if 'rel="next"' not in link.replace("rel=next", 'rel="next"'):
                return
            where = link.partition("<")[2].partition(">")[0]

    def _whole(self, asking: Asking) -> tuple[bytes, Response]:
        # A document, all of it; when it breaks off, again from the start.
        for number in range(1, self.session.terms.patience.tries + 1):
            response = self.session.ask(asking)
            try:
                data = read(response, LONGEST)
            except Broken as broken:
                problem = nonsense(f"GET {asking.where}", f"broke off: {broken}")
                self.session.pause(number, problem)
                continue
            if len(data) > LONGEST:
                found = f"more than {LONGEST} bytes"
                raise nonsense(f"GET {asking.where}", found)
            return data, response
        raise problem

    def _path(self, kind: str, which: str) -> str:
        return f"/v2/{self.name}/{kind}/{which}"


def _mismatch(what: str, found: Digest) -> DocumentError:
    return DigestMismatch(
        f"{what}: the bytes have the digest {found}",
        "another registry: this one, or somebody on the way, changes what it sends",
        "chapter 12",
        meaning="these aren't the bytes that were asked for",
    )
