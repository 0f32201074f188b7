"""Make the lab's own images, once, and give them their names.

A layer is in the store before its manifest, and the manifest before its name: a kill at
any moment leaves the image that was there before, or none, and blobs that `prune`
removes. What has been made from the same recipe isn't made again.

LABKIT_IMAGES may name a store in which somebody else has made them already, on a disk
that goes from hand to hand in a workshop: then they are copied, and no mirror is asked.

Reading order: make, Made, NameTaken.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labkit import state
from labkit.errors import StateError
from labkit.image.descriptor import Descriptor
from labkit.image.made.archive import pack
from labkit.image.made.documents import Baked, write_image
from labkit.image.made.ready import (
    SOMEBODY_ELSES,
    copy_ready_made,
    find_image,
    recipe_of,
)
from labkit.image.made.recipe import Layer, Recipe
from labkit.image.made.recipes import find, layers_of
from labkit.image.made.tree import Kitchen
from labkit.image.reference import Reference
from labkit.image.store import Store
from labkit.packages.apt import Say

# Changes with what this package makes of a recipe, where nothing else would show it.
_FORMAT = 1
_FOLDER = "images-made"
_MEGABYTE = 1_000_000


class NameTaken(StateError):
    """Another image has the name, and it isn't the lab's."""


@dataclass(frozen=True, slots=True)
class Made:
    """An image of the lab's that is in the store now."""

    recipe: Recipe
    descriptor: Descriptor
    layers: tuple[Baked, ...] = ()  # () when nothing had to be made
    copied_from: str = ""
    seconds: float = 0.0

    def __repr__(self) -> str:
        return f"<Made {self.recipe.name}: the lab's own, {self.recipe.about}>"

    @property
    def reference(self) -> Reference:
        """Its name, with every default."""
        return Reference.parse(self.recipe.name)

    def line(self) -> str:
        """Say what it is and what it took."""
        own = f"the lab's own: {self.recipe.about}"
        if self.copied_from:
            return f"{self.recipe.name}: copied from {self.copied_from}; {own}"
        if not self.layers:
            return f"{self.recipe.name}: there already; {own}"
        plain = sum(one.packed.size for one in self.layers) / _MEGABYTE
        packed = sum(one.packed.descriptor.size for one in self.layers) / _MEGABYTE
        how_many = "1 layer" if len(self.layers) == 1 else f"{len(self.layers)} layers"
        sizes = f"{how_many}, {plain:.1f} MB, packed {packed:.1f} MB"
        return f"{self.recipe.name}: {sizes}, made in {self.seconds:.1f} s; {own}"


def make(
    names: Iterable[str], store: Store, say: Say | None = None, *, replace: bool = False
) -> Iterator[Made]:
    """Make images that aren't in a store yet, one after the other.

    Args: names [of recipes]; say [called with one line for each thing that takes
        time]; replace [also an image of somebody else that has the name].
    Returns: each image as soon as it is there, made now or before.
    Raises: DocumentError for an unknown name; NameTaken; HostError when a package can't
        be had, or the disk is full.
    Needs: nothing; the first time a way to the distribution's mirror.
    """
    recipes = [find(name) for name in names]
    with state.lock(_FOLDER, timeout_s=900), store.lease(), _workspace() as folder:
        bakery = _Bakery(store, Kitchen(folder, say or _silent))
        for recipe in recipes:
            yield bakery.image(recipe, replace=replace)


class _Bakery:
    # One call of `make`: a layer that two recipes share is made once.
    def __init__(self, store: Store, kitchen: Kitchen) -> None:
        self._store, self._kitchen = store, kitchen
        self._baked: dict[Layer, Baked] = {}

    def image(self, recipe: Recipe, *, replace: bool) -> Made:
        start, wanted = time.monotonic(), _digest(recipe)
        there = find_image(self._store, recipe.name)
        made_from = recipe_of(self._store, there) if there else None
        if there and made_from == wanted:
            return Made(recipe, there)
        if made_from == SOMEBODY_ELSES and not replace:
            raise _taken(recipe.name)
        copied, place = copy_ready_made(recipe.name, wanted, self._store)
        if copied:
            return Made(recipe, copied, copied_from=place)
        layers = tuple(map(self._layer, layers_of(recipe)))
        image = write_image(recipe, layers, wanted, self._store)
        self._store.tag(Reference.parse(recipe.name), image)
        return Made(recipe, image, layers, seconds=time.monotonic() - start)

    def _layer(self, layer: Layer) -> Baked:
        if layer not in self._baked:
            tree = self._kitchen.tree(layer)
            packed = pack(tree.entries, self._store)
            self._baked[layer] = Baked(layer, packed, tree.versions)
        return self._baked[layer]


def _digest(recipe: Recipe) -> str:
    # A recipe is data to its last part, so its repr says all of it.
    said = repr((_FORMAT, recipe, layers_of(recipe)))
    return hashlib.sha256(said.encode()).hexdigest()


@contextmanager
def _workspace() -> Iterator[Path]:
    # Nobody else is at work, because the caller holds the lock: a kill left the others.
    folder = Path(state.directory(_FOLDER))
    # An apt-get that has outlived its parent may still write: then it goes next time.
    for left in folder.iterdir():
        shutil.rmtree(left, ignore_errors=True)
    path = Path(tempfile.mkdtemp(dir=folder))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def _taken(name: str) -> NameTaken:
    return NameTaken(
        f"image {name}: the name is taken",
        f"labkit images make --replace {name}, or keep the one that is there",
        "chapter 11",
        meaning="an image that the lab didn't make has it: it was pulled, or built",
    )


def _silent(line: str) -> None:
    """Say nothing: what a notebook prints must be the same every time."""
