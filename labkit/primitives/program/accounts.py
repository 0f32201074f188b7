"""Accounts: names of users and groups, by a container's own files.

    identity("www-data:adm", passwd, group)   Identity(uid=33, gid=4, groups=(), ...)
    home_of(passwd, uid)                      "/var/www"

Linux knows numbers only; names are in /etc/passwd and /etc/group of whichever file tree
one asks. The host's would be the wrong ones, and so would getpwnam(3), which also loads
code from the tree that it looks in. Chapter "Privileges".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from labkit.errors import DocumentError

_NUMBERS = 2**32 - 2


class Identity(NamedTuple):
    """Who somebody is, in numbers."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


def identity(who: str, passwd: str, group: str) -> Identity:
    """Return the numbers of "user", "user:group", "1000" or "1000:50".

    A user's own groups come along, unless a group is named; a number that nobody has
    is taken as it is.

    Args: who ["" is root]; passwd, group [the texts of the container's two files].
    Raises: DocumentError for a name that isn't in the files.
    """
    user, colon, chosen = who.partition(":")
    user = user or "0"
    row = next((r for r in _rows(passwd, 7) if user in (r[0], r[2])), None)
    if row is None:
        uid, gid, name, home = _number(user, "user", "/etc/passwd"), 0, "", "/"
    else:
        name, uid, gid, home = row[0], int(row[2]), int(row[3]), row[5] or "/"
    if colon and chosen:
        return Identity(uid, _group(chosen, group), (), home)
    members = (r for r in _rows(group, 4) if name and name in r[3].split(","))
    return Identity(uid, gid, tuple(int(r[2]) for r in members), home)


def home_of(passwd: str, uid: int) -> str:
    """Return a user's home directory, or "" when the file doesn't have that user."""
    return next((r[5] for r in _rows(passwd, 7) if r[2] == str(uid)), "")


def _group(chosen: str, group: str) -> int:
    row = next((r for r in _rows(group, 4) if chosen in (r[0], r[2])), None)
    return int(row[2]) if row else _number(chosen, "group", "/etc/group")


def _rows(text: str, fields: int) -> Iterator[list[str]]:
    # passwd(5), group(5); a line that is none is passed over, as libc does.
    for line in text.splitlines():
        row = line.split(":")
        if len(row) >= fields and row[2].isdigit() and (fields < 7 or row[3].isdigit()):
            yield row


def _number(word: str, kind: str, file: str) -> int:
    if word.isdigit() and int(word) <= _NUMBERS:
        return int(word)
    raise DocumentError(
        f"{kind} {word!r}: is not in the container's {file}",
        f"use a name that is there, or a number from 0 to {_NUMBERS}",
    )
