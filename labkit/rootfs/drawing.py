"""Draw a directory tree as text, the same every time. Chapter 02."""

from __future__ import annotations

import os
from collections.abc import Iterator

from labkit.linux.views import HostPath
from labkit.text import Text

_MEGABYTE = 1_000_000


def draw(root: HostPath, title: str, depth: int) -> Text:
    """Draw a tree: directories with a slash, links with their target.

    Args: root [host path]; title [the first line]; depth [1 for the names in the root].
    Returns: the drawing; sorted, with the size of all files in the first line.
    Raises: OSError when root isn't there.
    Needs: read permission.
    """
    if depth < 1:
        raise ValueError(f"depth is {depth}, and must be at least 1")
    size = f"{max(1, round(_bytes(root) / _MEGABYTE))} MB"
    return Text("\n".join((f"{title} ({size})", *_lines(root, "", depth))))


def _lines(folder: str, margin: str, depth: int) -> Iterator[str]:
    with os.scandir(folder) as found:
        names = sorted(found, key=lambda name: name.name)
    for name in names:
        last = name is names[-1]
        yield f"{margin}{'└── ' if last else '├── '}{_label(name)}"
        if depth > 1 and name.is_dir(follow_symlinks=False):
            below = margin + ("    " if last else "│   ")
            yield from _lines(name.path, below, depth - 1)


def _label(name: os.DirEntry[str]) -> str:
    if name.is_symlink():
        return f"{name.name} -> {os.readlink(name.path)}"
    return f"{name.name}/" if name.is_dir() else name.name


def _bytes(root: HostPath) -> int:
    files = ((folder, name) for folder, _, names in os.walk(root) for name in names)
    return sum(os.lstat(os.path.join(*place)).st_size for place in files)
