"""Who may come in: a file of names and hashed passwords. Chapter 12.

    ada:$2y$05$...        as `htpasswd -B -c FILE ada` writes it

Only bcrypt is taken: a hash that is slow to try is the reason why a stolen file isn't a
list of passwords. So a password that was right is remembered, hashed with a secret of
this process, and the next request with it is quick.

Reading order: Passwords, line.
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

import bcrypt

from labkit.errors import DocumentError

_COST = 10  # 2**10 rounds: some 50 ms a try
_LONGEST = 72  # bytes: bcrypt looks at no more
# Compared with when there is no such user, so that both take the same time.
_NOBODY = bcrypt.hashpw(b"", bcrypt.gensalt(5))


class Passwords:
    """The names and hashes of an htpasswd file, read again when it changes.

    Args: file [host path].
    Raises: DocumentError for a line that isn't NAME:BCRYPT; OSError.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._secret = secrets.token_bytes(32)
        self._right: set[bytes] = set()
        self._seen: tuple[int, int] | None = None
        self._hashes: dict[str, bytes] = {}
        self._reread()

    def verify(self, user: str, password: str) -> bool:
        """Say whether this is the user's password."""
        self._reread()
        known = self._hashes.get(user, _NOBODY)
        given = password.encode()[:_LONGEST]
        proof = hmac.digest(self._secret, known + b":" + given, "sha256")
        if proof in self._right:
            return True
        right = bcrypt.checkpw(given, known) and user in self._hashes
        if right:
            self._right.add(proof)
        return right

    def _reread(self) -> None:
        about = os.stat(self._file)
        seen = (about.st_mtime_ns, about.st_ino)
        if seen != self._seen:
            self._hashes = _read(self._file)
            self._seen = seen
            self._right.clear()


def line(user: str, password: str) -> str:
    """Return a line for the file: a name and a hashed password.

    Raises: DocumentError for a name that has no place in a line.
    """
    if not user or not user.isprintable() or ":" in user:
        raise DocumentError(
            f"user {user!r}: no name",
            "a name without a colon",
            meaning="the colon ends the name in the file",
        )
    hashed = bcrypt.hashpw(password.encode()[:_LONGEST], bcrypt.gensalt(_COST))
    return f"{user}:{hashed.decode()}"


def _read(file: Path) -> dict[str, bytes]:
    hashes: dict[str, bytes] = {}
    for number, text in enumerate(file.read_text().splitlines(), 1):
        if not text.strip() or text.startswith("#"):
            continue
        user, colon, hashed = text.strip().partition(":")
        if not user or not colon or not hashed.startswith(("$2y$", "$2b$", "$2a$")):
            raise DocumentError(
                f"{file}: line {number}: not NAME:BCRYPT",
                f"htpasswd -B {file} NAME, or labkit registry password NAME >> {file}",
                "htpasswd(1)",
                meaning="only passwords that were hashed with bcrypt are taken",
            )
        hashes[user] = hashed.encode()
    return hashes
