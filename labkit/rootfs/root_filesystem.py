"""A root filesystem on the disk: made once, verified on every use. Chapter 02.

    <state>/rootfs/alpine/         the tree
    <state>/rootfs/alpine.json     its manifest: each entry with its SHA-256
    <state>/rootfs/.alpine.*       being made or removed; a kill may leave it

Reading order: rootfs, RootFilesystem, available.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labkit import state
from labkit.errors import DocumentError, HostError
from labkit.linux.views import HostPath
from labkit.rootfs import alpine, entries
from labkit.rootfs.busybox import Busybox, Say, busybox
from labkit.rootfs.drawing import draw
from labkit.rootfs.entries import Entry
from labkit.text import Text


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a root filesystem of one name is made."""

    about: str
    entries: Callable[[Busybox], tuple[Entry, ...]]


RECIPES = {"alpine": Recipe(alpine.ABOUT, alpine.alpine)}
_FOLDER = "rootfs"


@dataclass(frozen=True, slots=True)
class RootFilesystem:
    """A directory that can become the root of a process."""

    name: str
    path: HostPath
    about: str = ""

    def __repr__(self) -> str:
        return f"<root filesystem {self.name}: {self.about}>"

    def __fspath__(self) -> str:
        return self.path

    @property
    def made(self) -> bool:
        """Whether it is on the disk."""
        return os.path.isdir(self.path)

    def tree(self, depth: int = 1) -> Text:
        """Draw the tree as text, to a depth [directories below the root]."""
        return draw(self.path, f"{self.name}: {self.about}", depth)

    def copy(self, to: str) -> RootFilesystem:
        """Copy the tree, for experiments that damage it.

        Args: to [host path, must not exist].
        Returns: the copy; it is removed by its own `remove`.
        Raises: HostError when the place is taken or can't be written.
        Needs: write permission in the parent directory.
        """
        target = HostPath(os.path.abspath(to))
        if os.path.lexists(target):
            raise HostError(
                f"copy of {self.name}: {target} exists",
                "choose a place that is free, or remove what is there",
                meaning="a copy goes to a place of its own, so that nothing is mixed",
            )
        entries.refuse_if_mounted(self.path)
        # Beside its place and renamed, so that no half copy looks like a whole one.
        half = f"{target}.labkit-half"
        shutil.rmtree(half, ignore_errors=True)
        try:
            shutil.copytree(self.path, half, symlinks=True)
            os.rename(half, target)
        finally:
            shutil.rmtree(half, ignore_errors=True)
        return RootFilesystem(self.name, target, self.about)

    def remove(self) -> None:
        """Remove the tree; removing it twice is no error.

        Raises: HostError when something is mounted inside.
        Needs: write permission.
        """
        if not self.made:
            return
        entries.refuse_if_mounted(self.path)
        if self.path != _cached(self.name):
            shutil.rmtree(self.path)
            return
        with state.lock(_FOLDER), _workspace(self.name) as workspace:
            Path(_manifest_path(self.name)).unlink(missing_ok=True)
            # Renamed first: a kill leaves a name that the next run removes.
            os.rename(self.path, os.path.join(workspace, self.name))


def rootfs(name: str = "alpine", say: Say | None = None) -> RootFilesystem:
    """Return a root filesystem of this name; make it on first use.

    Each use compares the tree with its manifest. Files that don't belong to it are
    removed; a missing or changed one is put back, with a warning that names it.

    Args: name [one of `available()`]; say [called with a line for what takes time].
    Returns: the root filesystem, as it was when made.
    Raises: DocumentError for an unknown name; HostError when there is no busybox, the
        state directory can't be written, or something is mounted inside.
    Needs: nothing; for root and ordinary users alike.
    """
    root, recipe = find(name), _recipe(name)
    with state.lock(_FOLDER), _disk_errors(root.path):
        _remove_leftovers(name)
        manifest = _read_manifest(name)
        # Not through a link, because what it leads to isn't the lab's to tidy.
        is_tree = os.path.isdir(root.path) and not os.path.islink(root.path)
        if manifest and is_tree:
            damage = _restore(root, recipe, manifest, say or _silent)
        else:
            damage = _make(root, recipe, say or _silent)
    if damage:
        warnings.warn(damage, stacklevel=2)
    return root


def available() -> tuple[RootFilesystem, ...]:
    """Return every root filesystem that the lab can make, made or not."""
    return tuple(map(find, RECIPES))


def find(name: str) -> RootFilesystem:
    """Return a root filesystem of this name, made or not; make nothing.

    Raises: DocumentError for an unknown name.
    """
    return RootFilesystem(name, _cached(name), _recipe(name).about)


def _make(root: RootFilesystem, recipe: Recipe, say: Say) -> str:
    with _workspace(root.name) as workspace:
        content = recipe.entries(busybox(workspace, say))
        say(f"{root.name}: writing {len(content)} names below {root.path}")
        fresh = HostPath(os.path.join(workspace, root.name))
        entries.write(content, fresh)
        if os.path.lexists(root.path):
            # Without a manifest: killed before it was written, or it is damaged.
            entries.refuse_if_mounted(root.path)
            os.rename(root.path, os.path.join(workspace, "without-manifest"))
        os.rename(fresh, root.path)
        _write_manifest(root.name, content)
    return ""


def _restore(
    root: RootFilesystem, recipe: Recipe, manifest: Sequence[Entry], say: Say
) -> str:
    # Returns a sentence about the damage; additions are no damage, and tidied away.
    wrong = entries.differences(manifest, root.path)
    damage = [path for path, what in wrong.items() if what != entries.EXTRA]
    if not damage:
        entries.repair(manifest, root.path, wrong)
        return ""
    with _workspace(root.name) as workspace:
        # Compared again, because the host's busybox may be another one by now.
        content = recipe.entries(busybox(workspace, say))
        again = entries.differences(content, root.path)
        say(f"{root.name}: damaged, putting back {len(again)} names")
        entries.repair(content, root.path, again)
        _write_manifest(root.name, content)
    more = f" and {len(damage) - 1} more" if len(damage) > 1 else ""
    first = f"/{damage[0]} {wrong[damage[0]]}"
    return f"root filesystem {root.name} was damaged: {first}{more}; put back"


@contextmanager
def _workspace(name: str) -> Iterator[HostPath]:
    # In the same directory, because rename works only within one filesystem.
    path = tempfile.mkdtemp(prefix=f".{name}.", dir=state.directory(_FOLDER))
    try:
        yield HostPath(path)
    finally:
        shutil.rmtree(path)


@contextmanager
def _disk_errors(path: HostPath) -> Iterator[None]:
    try:
        yield
    except OSError as refused:
        raise state.unusable(refused.filename or path, refused) from refused


def _remove_leftovers(name: str) -> None:
    # Nobody else is at work, because the caller holds the lock: a kill left them.
    for left in Path(state.directory(_FOLDER)).glob(f".{name}.*"):
        shutil.rmtree(left)


def _read_manifest(name: str) -> tuple[Entry, ...]:
    try:
        document = json.loads(Path(_manifest_path(name)).read_text(encoding="utf-8"))
        return tuple(Entry.from_json(row) for row in document["entries"])
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
        # Not there or not readable as a manifest: the tree is made anew.
        return ()


def _write_manifest(name: str, content: Sequence[Entry]) -> None:
    document = {
        "name": name,
        "about": RECIPES[name].about,
        "entries": [entry.to_json() for entry in content],
    }
    state.write(_manifest_path(name), json.dumps(document, indent=1) + "\n")


def _cached(name: str) -> HostPath:
    return HostPath(os.path.join(state.location(), _FOLDER, name))


def _manifest_path(name: str) -> HostPath:
    return HostPath(f"{_cached(name)}.json")


def _recipe(name: str) -> Recipe:
    if name in RECIPES:
        return RECIPES[name]
    known = ", ".join(RECIPES)
    raise DocumentError(
        f'root filesystem "{name}": no such name',
        f'rootfs("{next(iter(RECIPES))}"); labkit rootfs --list shows all',
        meaning=f"the lab makes its roots itself; it can make: {known}",
    )


def _silent(line: str) -> None:
    """Say nothing: what a notebook prints must be the same every time."""
