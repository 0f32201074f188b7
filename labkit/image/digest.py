"""A digest: the name of a blob, made from its bytes. Chapter 11.

    sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    algorithm  encoded: 64 hexadecimal digits (sha512: 128)

Who has the digest needs to trust nobody for the bytes: they are hashed again, and one
changed bit makes another name.

Reading order: Digest, Hashing, DigestMismatch.
"""

from __future__ import annotations

import hashlib
import re
from typing import Self

from labkit.errors import DocumentError
from labkit.text import one_line

# image-spec, descriptor.md, "Registered algorithms": lower-case digits of this length.
_DIGITS = {"sha256": 64, "sha512": 128}


class DigestMismatch(DocumentError):
    """The bytes aren't those that the digest names, or not as many as was said."""


class Digest(str):
    """The text `algorithm:encoded`, checked when it is made."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check a digest.

        Raises: DocumentError for another form or an algorithm that isn't registered.
        Spec: image-spec, descriptor.md, "Digests".
        """
        algorithm, _, encoded = text.partition(":")
        digits = _DIGITS.get(algorithm)
        if digits is None or not re.fullmatch(f"[0-9a-f]{{{digits}}}", encoded):
            raise DocumentError(
                f'digest "{one_line(text, 140)}": not understood',
                "sha256: and 64 digits of 0123456789abcdef",
                "chapter 11",
                meaning="a digest names an algorithm (sha256, sha512) and a hash",
            )
        return super().__new__(cls, text)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Self:
        """Return the digest of bytes."""
        return cls(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")

    @property
    def algorithm(self) -> str:
        """The part before the colon."""
        return self.partition(":")[0]

    @property
    def encoded(self) -> str:
        """The part after the colon: a file's name in a content store."""
        return self.partition(":")[2]

    @property
    def short(self) -> str:
        """The first twelve digits, as lists of images show them."""
        return self.encoded[:12]


class Hashing:
    """A hash of what passes by, so that a blob is read once only."""

    def __init__(self, algorithm: str = "sha256") -> None:
        self._hash = hashlib.new(algorithm)
        self.size = 0

    def update(self, data: bytes | memoryview) -> None:
        """Add bytes; the interpreter's lock isn't held meanwhile."""
        self._hash.update(data)
        self.size += len(data)

    @property
    def digest(self) -> Digest:
        """The digest of all bytes so far."""
        return Digest(f"{self._hash.name}:{self._hash.hexdigest()}")


def check(hashing: Hashing, digest: Digest, size: int | None, what: str) -> None:
    """Compare what passed by with what was promised.

    Args: hashing [of all bytes]; digest, size [promised; None: any size]; what [for
        the message].
    Raises: DigestMismatch, with both.
    """
    if size is not None and hashing.size != size:
        found = f"{hashing.size} bytes instead of {size}"
    elif hashing.digest != digest:
        found = f"its digest is {hashing.digest}"
    else:
        return
    raise DigestMismatch(
        f"{what} {digest}: {found}",
        "get it again from where it came from",
        "chapter 11",
        meaning="these bytes aren't the ones that this digest names",
    )
