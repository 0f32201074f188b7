"""What the registry keeps, as files that a kill at any moment leaves whole. Chapter 12.

    STORAGE/
      blobs/sha256/3f2a...                        the bytes, once for all repositories
      repositories/team/app/
        _blobs/sha256/3f2a...                     a link: this repository has that blob
        _manifests/sha256/9c1b...                 a link; its text is the media type
        _tags/latest                              its text is a digest
        _referrers/sha256/9c1b.../sha256/77d0...  a link; its text is a descriptor
        _uploads/6f1c...                          the bytes of a blob that isn't whole
      unfinished/, lock

No part of a repository's name begins with "_", so nothing can have two meanings. A file
gets its name when it is whole (rename), in the order blob, link, tag: what can be asked
for is always there. Removing goes the other way round.

Reading order: Storage, Repository, Links.
"""

from __future__ import annotations

import fcntl
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from labkit.errors import DocumentError
from labkit.image.digest import Digest, Hashing
from labkit.registry.server.refusals import Refused

# distribution-spec, "Pulling manifests". Clients allow 255 with the host's name.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")
_LONGEST_NAME = 255
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


class Storage:
    """All blobs, and the repositories that have them.

    Args: root [host path; made if need be].
    Raises: OSError when it can't be made or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        # Of each upload under way: what was hashed while it passed by.
        self.hashings: dict[str, Hashing] = {}
        for folder in ("blobs", "repositories", "unfinished"):
            (root / folder).mkdir(parents=True, exist_ok=True)

    def repository(self, name: str) -> Repository:
        """Return a repository, which may not exist yet.

        Raises: Refused (NAME_INVALID).
        """
        if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
            raise Refused("NAME_INVALID", f"{name[:100]}: no name of a repository")
        return Repository(self, name)

    def repositories(self) -> list[str]:
        """Return the names of all repositories, sorted."""
        top = self.root / "repositories"
        marks = [*top.glob("**/_manifests"), *top.glob("**/_blobs")]
        return sorted({str(mark.parent.relative_to(top)) for mark in marks})

    def blob(self, digest: Digest) -> Path:
        """Return where a blob is or would be."""
        return self.root / "blobs" / digest.algorithm / digest.encoded

    def adopt(self, finished: Path, digest: Digest) -> None:
        """Give a checked file its place; the same blob from somebody else is replaced.

        Args: finished [host path on the same filesystem].
        """
        place = self.blob(digest)
        place.parent.mkdir(exist_ok=True)
        # Before rename, because the name may reach the disk before the content.
        with finished.open("rb") as file:
            os.fsync(file.fileno())
        finished.replace(place)

    def write(self, place: Path, data: bytes) -> None:
        """Replace a small file as a whole, and have it on the disk."""
        fresh = self.root / "unfinished" / uuid.uuid4().hex
        try:
            with fresh.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh.replace(place)
        finally:
            fresh.unlink(missing_ok=True)

    @contextmanager
    def pushing(self) -> Iterator[None]:
        """Keep the garbage collection away while a blob gets its link."""
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Keep every push from making links."""
        with self._locked(fcntl.LOCK_EX):
            yield

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        # Opened each time: the lock belongs to the open file, so threads and processes
        # exclude each other alike.
        with (self.root / "lock").open("ab") as file:
            fcntl.flock(file, kind)
            yield


class Repository:
    """What one repository has: links to blobs and manifests, tags, uploads."""

    def __init__(self, storage: Storage, name: str) -> None:
        self.storage, self.name = storage, name
        self.folder = storage.root / "repositories" / name
        self.uploads = self.folder / "_uploads"
        self.blobs = Links(storage, self.folder / "_blobs")
        self.manifests = Links(storage, self.folder / "_manifests")

    def must_exist(self) -> None:
        """Refuse when nothing was ever pushed here.

        Raises: Refused (NAME_UNKNOWN).
        """
        if not self.blobs.folder.is_dir() and not self.manifests.folder.is_dir():
            raise Refused("NAME_UNKNOWN", f"there is no repository {self.name}")

    def open_blob(self, digest: Digest) -> BinaryIO:
        """Open a blob that this repository has.

        Raises: Refused (BLOB_UNKNOWN).
        """
        missing = Refused("BLOB_UNKNOWN", f"{self.name} has no blob {digest}")
        if not self.blobs.has(digest):
            raise missing
        try:
            return self.storage.blob(digest).open("rb")
        except FileNotFoundError as lost:
            # Somebody else removed the file: then it had better be pushed again.
            raise missing from lost

    def open_for_pusher(self, digest: Digest) -> BinaryIO:
        """Open a blob for somebody who asks whether it is there, and make it young.

        Raises: Refused (BLOB_UNKNOWN).
        """
        with self.storage.pushing():
            file = self.open_blob(digest)
            self.blobs.add(digest)
        return file

    def referrers(self, subject: Digest) -> Links:
        """Return the manifests that say they are about another one."""
        place = self.folder / "_referrers" / subject.algorithm / subject.encoded
        return Links(self.storage, place)

    def tags(self) -> list[str]:
        """Return all tags in the order of their bytes."""
        folder = self.folder / "_tags"
        return sorted(os.listdir(folder)) if folder.is_dir() else []

    def resolve(self, tag_or_digest: str) -> Digest:
        """Return which manifest is meant.

        Raises: Refused (MANIFEST_UNKNOWN; DIGEST_INVALID from `digest_in`).
        """
        if ":" in tag_or_digest:
            digest = digest_in(tag_or_digest)
        else:
            digest = self._tagged(tag_or_digest)
        if not self.manifests.has(digest):
            raise _unknown(self, tag_or_digest)
        return digest

    def tag(self, tag: str, digest: Digest) -> None:
        """Let a tag mean a manifest from now on.

        Raises: Refused (MANIFEST_INVALID) for what can't be a tag.
        """
        if not _TAG.fullmatch(tag):
            raise Refused("MANIFEST_INVALID", f"{tag[:200]}: no tag")
        self.storage.write(self.folder / "_tags" / tag, digest.encode())

    def untag(self, tag: str) -> None:
        """Forget a tag; its manifest stays."""
        (self.folder / "_tags" / tag).unlink(missing_ok=True)

    def _tagged(self, tag: str) -> Digest:
        place = self.folder / "_tags" / tag
        if not _TAG.fullmatch(tag) or not place.is_file():
            raise _unknown(self, tag)
        return Digest(place.read_text())


class Links:
    """A folder of small files that digests are the names of."""

    def __init__(self, storage: Storage, folder: Path) -> None:
        self.storage, self.folder = storage, folder

    def has(self, digest: Digest) -> bool:
        """Say whether there is a link."""
        return self._place(digest).is_file()

    def add(self, digest: Digest) -> None:
        """Make an empty link, or make it as young as a new one."""
        place = self._place(digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()

    def add_text(self, digest: Digest, text: str) -> None:
        """Make a link that says something."""
        self.storage.write(self._place(digest), text.encode())

    def text(self, digest: Digest) -> str:
        """Return what a link says."""
        return self._place(digest).read_text()

    def touched(self, digest: Digest) -> float:
        """Return when a link was made or touched [seconds since 1970]."""
        return self._place(digest).stat().st_mtime

    def remove(self, digest: Digest) -> None:
        """Remove a link, unless it is gone."""
        self._place(digest).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[Digest]:
        for place in sorted(self.folder.glob("*/*")):
            yield Digest(f"{place.parent.name}:{place.name}")

    def _place(self, digest: Digest) -> Path:
        return self.folder / digest.algorithm / digest.encoded


def digest_in(text: str) -> Digest:
    """Read a digest from a request.

    Raises: Refused (DIGEST_INVALID).
    """
    try:
        return Digest(text)
    except DocumentError as wrong:
        raise Refused("DIGEST_INVALID", wrong.message) from wrong


def _unknown(repository: Repository, wanted: str) -> Refused:
    return Refused("MANIFEST_UNKNOWN", f"{repository.name} has no {wanted[:200]}")
