"""Mount options: the words of mount(8) and of config.json, and what they ask of Linux.

    MountOptions.of(("ro", "nosuid", "rprivate", "size=64k"))
        .flags       MS.RDONLY | MS.NOSUID     for mount(2)
        .set .clear  the same for mount_setattr(2), which a bind needs
        .propagation MS.PRIVATE | MS.REC       a call of its own
        .data        "size=64k"                for the file system itself

An r before a word ("rro") reaches the mounts below as well. Chapter 05.
Left out: idmap of a mount without mappings, which would mean those of the container.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from labkit.linux.flags import MOUNT_ATTR, MS
from labkit.linux.structs import MountAttributes

_NO_MS, _NO_ATTR = MS(0), MOUNT_ATTR(0)

# fmt: off
# word, its opposite: the bit for mount(2), and for mount_setattr(2).
_SWITCHES = (
    ("ro",          "rw",            MS.RDONLY,      MOUNT_ATTR.RDONLY),
    ("nosuid",      "suid",          MS.NOSUID,      MOUNT_ATTR.NOSUID),
    ("nodev",       "dev",           MS.NODEV,       MOUNT_ATTR.NODEV),
    ("noexec",      "exec",          MS.NOEXEC,      MOUNT_ATTR.NOEXEC),
    ("nodiratime",  "diratime",      MS.NODIRATIME,  MOUNT_ATTR.NODIRATIME),
    ("nosymfollow", "symfollow",     MS.NOSYMFOLLOW, MOUNT_ATTR.NOSYMFOLLOW),
    ("sync",        "async",         MS.SYNCHRONOUS, _NO_ATTR),
    ("dirsync",     "nodirsync",     MS.DIRSYNC,     _NO_ATTR),
)
# Three that exclude one another; the last two mean what Linux does anyway.
_ATIMES = (
    ("noatime",     "atime",         MS.NOATIME,     MOUNT_ATTR.NOATIME),
    ("strictatime", "nostrictatime", MS.STRICTATIME, MOUNT_ATTR.STRICTATIME),
    ("relatime",    "norelatime",    MS.RELATIME,    _NO_ATTR),
)
_PROPAGATIONS = {
    "shared":     MS.SHARED,     "rshared":     MS.SHARED | MS.REC,
    "slave":      MS.SLAVE,      "rslave":      MS.SLAVE | MS.REC,
    "private":    MS.PRIVATE,    "rprivate":    MS.PRIVATE | MS.REC,
    "unbindable": MS.UNBINDABLE, "runbindable": MS.UNBINDABLE | MS.REC,
}
# fmt: on
_BY_NAME: dict[str, dict[str, Any]] = {
    "bind": {},
    "rbind": {"below": True},
    "tmpcopyup": {"copy_up": True},
    "idmap": {},  # whether there is one, the mappings say
    "ridmap": {"map_below": True},
}
_PASSED_OVER = ("defaults", "loud", "nofail", "auto", "noauto", "user", "nouser")


class Word(NamedTuple):
    """What one word sets and clears, for either call."""

    flag: MS
    attribute: MOUNT_ATTR
    on: bool
    mask: MOUNT_ATTR  # what is cleared before it is set


def _words() -> dict[str, Word]:
    found: dict[str, Word] = {}
    for on, off, flag, attribute in _SWITCHES:
        found[on] = Word(flag, attribute, True, _NO_ATTR)
        found[off] = Word(flag, attribute, False, attribute)
    for on, off, flag, attribute in _ATIMES:
        found[on] = Word(flag, attribute, True, MOUNT_ATTR.ATIMES)
        found[off] = Word(flag, attribute, False, MOUNT_ATTR.ATIMES)
    return found


_WORDS = _words()
_RECURSIVE_WORDS = {
    f"r{name}": word for name, word in _WORDS.items() if word.attribute or word.mask
}


def known_words() -> tuple[str, ...]:
    """Return every word that isn't left to the file system, sorted."""
    return tuple(sorted({*_WORDS, *_RECURSIVE_WORDS, *_PROPAGATIONS, *_BY_NAME}))


class MountOptions(NamedTuple):
    """What a list of options asks for, sorted by the call that can do it."""

    flags: MS = _NO_MS
    propagation: MS = _NO_MS
    data: str = ""
    set: MOUNT_ATTR = _NO_ATTR
    clear: MOUNT_ATTR = _NO_ATTR
    set_below: MOUNT_ATTR = _NO_ATTR
    clear_below: MOUNT_ATTR = _NO_ATTR
    below: bool = False  # "rbind": the mounts below the source come along
    copy_up: bool = False  # "tmpcopyup": a tmpfs begins with what it hides
    map_below: bool = False  # "ridmap": the map is for the mounts below, too

    @classmethod
    def of(cls, words: Iterable[str]) -> MountOptions:
        """Sort a list of words; what isn't known here goes to the file system."""
        options, data = cls(), []
        for name in words:
            if name in _WORDS:
                options = options._with(_WORDS[name])
            elif name in _RECURSIVE_WORDS:
                options = options._with_below(_RECURSIVE_WORDS[name])
            elif name in _PROPAGATIONS:
                options = options._replace(propagation=_PROPAGATIONS[name])
            elif name in _BY_NAME:
                options = options._replace(**_BY_NAME[name])
            elif name not in _PASSED_OVER:
                data.append(name)
        return options._replace(data=",".join(data))

    @property
    def attributes(self) -> MountAttributes:
        """What mount_setattr(2) is to do with the mount itself."""
        return MountAttributes(self.set, self.clear)

    @property
    def attributes_below(self) -> MountAttributes:
        """What it is to do with the mount and all below it."""
        return MountAttributes(self.set_below, self.clear_below)

    def _with(self, word: Word) -> MountOptions:
        flags = self.flags | word.flag if word.on else self.flags & ~word.flag
        wanted = word.attribute if word.on else _NO_ATTR
        kept = self.set & ~(word.attribute | word.mask)
        clear = self.clear & ~word.attribute | word.mask
        return self._replace(flags=flags, set=kept | wanted, clear=clear)

    def _with_below(self, word: Word) -> MountOptions:
        wanted = word.attribute if word.on else _NO_ATTR
        kept = self.set_below & ~(word.attribute | word.mask)
        clear = self.clear_below & ~word.attribute | word.mask
        return self._replace(set_below=kept | wanted, clear_below=clear)
