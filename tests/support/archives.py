# ruff: noqa: E501  rows of a table
"""Layers made by hand, with Python's tarfile and byte by byte: the hard cases.

HARD has an image for each: its layers, the lowest first. What they are made of is what
makers of images, and people who attack them, really write.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from typing import Any

T = 1_400_000_000
Row = tuple[str, dict[str, Any], bytes]


def entry(name: str, data: bytes | str = b"", **fields: Any) -> Row:
    """Return a row of an archive: a name, what is said about it, its bytes."""
    return name, fields, data.encode() if isinstance(data, str) else data


def folder(name: str, **fields: Any) -> Row:
    """Return the row of a directory."""
    return name, {"type": tarfile.DIRTYPE, "mode": 0o755, **fields}, b""


def link(name: str, target: str, **fields: Any) -> Row:
    """Return the row of a symbolic link."""
    return name, {"type": tarfile.SYMTYPE, "linkname": target, **fields}, b""


def hard(name: str, target: str, **fields: Any) -> Row:
    """Return the row of a hard link."""
    return name, {"type": tarfile.LNKTYPE, "linkname": target, **fields}, b""


def device(name: str, kind: bytes, major: int, minor: int, **fields: Any) -> Row:
    """Return the row of a device."""
    numbers = {"devmajor": major, "devminor": minor}
    return name, {"type": kind, **numbers, **fields}, b""


def hole(size: int) -> Row:
    """Return the row of a file that is one hole."""
    sparse = {"GNU.sparse.size": str(size), "GNU.sparse.map": ""}
    return entry("hole", pax_headers=sparse)


def archive(rows: Iterable[Row], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, fields, data in rows:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), T
            for key, value in fields.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def xattrs(**values: str) -> dict[str, dict[str, str]]:
    """Return PAX records for extended attributes; "__" stands for a dot."""
    names = {key.replace("__", "."): value for key, value in values.items()}
    return {"pax_headers": {f"SCHILY.xattr.{k}": v for k, v in names.items()}}


def sparse_by_gnu_tar(form: str) -> bytes:
    """Return what GNU tar writes for a file with holes: bytes at 0, 1 MiB and 3 MiB."""
    holes: dict[str, Any] = {"GNU.sparse.realsize": str(3 * 2**20 + 5)}
    parts = [(0, 5), (2**20, 7), (3 * 2**20, 5)]
    data = b"first" + b"second!" + b"third"
    if form == "1.0":
        numbers = [len(parts), *(n for part in parts for n in part)]
        text = "".join(f"{n}\n" for n in numbers).encode()
        data = text + bytes(-len(text) % 512) + data
        holes |= {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
        holes["GNU.sparse.name"] = "holes"
    else:
        flat = ",".join(str(n) for part in parts for n in part)
        holes = {"GNU.sparse.size": str(3 * 2**20 + 5), "GNU.sparse.map": flat}
        holes |= {"GNU.sparse.numblocks": "3", "GNU.sparse.name": "holes"}
    return archive([entry("GNUSparseFile.0/holes", data, pax_headers=holes)])


# cap_net_bind_service=ep, as setcap(8) writes it.
CAPABILITY = "\x01\x00\x00\x02\x00\x04" + "\x00" * 14

TREE = [
    folder("./"),
    folder("etc"),
    entry("etc/passwd", "root:x:0:0::/:/bin/sh\n"),
    entry("etc/motd", "hello\n", mode=0o600),
    folder("var"),
    folder("var/lib"),
    folder("var/lib/old", mtime=T - 5),
    entry("var/lib/old/one", "1"),
    folder("var/lib/old/deep"),
    entry("var/lib/old/deep/two", "2"),
    link("lib", "usr/lib"),
    folder("usr"),
    folder("usr/lib"),
    entry("usr/lib/libc.so", "so"),
]


HARD: dict[str, list[bytes]] = {
    "plain": [archive(TREE)],
    "whiteout": [archive(TREE), archive([entry("etc/.wh.motd")])],
    "whiteout-of-a-tree": [archive(TREE), archive([entry("var/.wh.lib")])],
    "whiteout-of-nothing": [archive(TREE), archive([entry("etc/.wh.nothing")])],
    "whiteout-and-new": [
        archive(TREE),
        archive([entry("etc/.wh.motd"), entry("etc/motd", "new")]),
    ],
    "tree-again": [
        archive(TREE),
        archive([entry("var/lib/.wh.old"), folder("var/lib/old"), entry("var/lib/old/three", "3")]),
    ],
    "opaque-first": [
        archive(TREE),
        archive([folder("var/lib/old"), entry("var/lib/old/.wh..wh..opq"), entry("var/lib/old/new", "n")]),
    ],
    "opaque-last": [
        archive(TREE),
        archive([folder("var/lib/old"), entry("var/lib/old/new", "n"), entry("var/lib/old/.wh..wh..opq")]),
    ],
    "file-to-directory": [
        archive(TREE),
        archive([folder("etc/motd"), entry("etc/motd/today", "hi")]),
    ],
    "directory-to-file": [archive(TREE), archive([entry("var/lib", "a file now")])],
    "directory-to-link": [archive(TREE), archive([link("var/lib", "/usr/lib")])],
    "link-to-directory": [
        archive(TREE),
        archive([folder("lib"), entry("lib/mine", "m")]),
    ],
    "through-a-link": [archive(TREE), archive([entry("lib/through", "t")])],
    "hard-links": [
        archive([folder("a"), entry("a/one", "same"), hard("a/two", "a/one"), folder("b"), hard("b/three", "./a/two")]),
        archive([entry("a/two", "other")]),
    ],
    "hard-link-to-a-link": [archive([link("s", "nowhere"), hard("t", "s")])],
    "hard-link-below": [archive(TREE), archive([hard("etc/motd2", "etc/motd")])],
    "modes": [
        archive([
            entry("setuid", "x", mode=0o4755, uid=1000, gid=1001),
            entry("setgid", "x", mode=0o2755),
            folder("tmp", mode=0o1777),
            folder("closed", mode=0, uid=65534, gid=65534),
            entry("closed/in", "x", mode=0),
        ]),
        archive([folder("closed", mode=0o700)]),
    ],
    "devices": [
        archive([
            device("null", tarfile.CHRTYPE, 1, 3, mode=0o666),
            device("disk", tarfile.BLKTYPE, 254, 300),
            device("pipe", tarfile.FIFOTYPE, 0, 0, uid=7),
        ])
    ],
    "times": [
        archive([
            entry("exact", "x", mtime=T + 0.123456789, pax_headers={"mtime": f"{T}.123456789"}),
            entry("before-1970", "x", mtime=-5, pax_headers={"mtime": "-5.5"}),
            entry("late", "x", mtime=2**33),
            folder("d", mtime=3),
            entry("d/x", "x"),
        ])
    ],
    "large-ids": [archive([entry("x", "x", uid=2**31 + 5, gid=3_000_000)])],
    "large-ids-gnu": [
        archive([entry("x", "x", uid=2**31 + 5, gid=3_000_000)], tarfile.GNU_FORMAT)
    ],
    "long-names": [
        archive([entry("d/" * 60 + "n" * 200, "x"), link("l", "t/" * 150)]),
    ],
    "long-names-gnu": [
        archive([entry("d/" * 60 + "n" * 200, "x"), link("l", "t/" * 150)], tarfile.GNU_FORMAT)
    ],
    "prefix": [archive([entry("p" * 90 + "/" + "n" * 90, "x")], tarfile.USTAR_FORMAT)],
    "names-that-are-no-text": [
        archive([entry("n\udcff\udcfe", "x"), link("l", "t\udcff")]),
        archive([entry(".wh.n\udcff\udcfe")]),
    ],
    "names-alike": [
        archive([entry("A", "1"), entry("a", "2"), entry("\u00e4", "3"), entry("a\u0308", "4"), entry("new\nline", "5")])
    ],
    "xattrs": [
        archive([
            entry("cap", "x", mode=0o755, **xattrs(security__capability=CAPABILITY)),
            entry("user", "x", **xattrs(user__colour="red")),
            folder("d", **xattrs(user__d="1", trusted__t="2")),
        ])
    ],
    "absolute": [archive([folder("/abs"), entry("/abs//x", "1"), hard("/abs/y", "/abs/x")])],
    "links-out": [archive([link("out", "/etc"), link("up", "../../../etc"), entry("out/x", "inside"), entry("up/y", "inside")])],
    "twice": [archive([entry("x", "first"), link("x", "y"), entry("x", "last")])],
    "no-directories": [archive([entry("a/b/c/x", "1"), link("a/l", "b")])],
    "sparse-1.0": [sparse_by_gnu_tar("1.0")],
    "sparse-0.1": [sparse_by_gnu_tar("0.1")],
    "many": [archive([folder("m"), *(entry(f"m/{n}", str(n)) for n in range(1500))])],
    "empty": [archive([])],
}  # fmt: skip
