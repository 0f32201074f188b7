"""Images that the lab makes itself, with no internet. Chapter 11.

    make(["nginx"], store, say)    make what isn't there yet; the second time at once
    RECIPES                        what there is, as data

A workshop's network is slow, so the names on the slides (alpine, nginx, nginx:1.13,
redis, python, registry:2) are answered by images out of the distribution's packages.
They say of themselves that they are the lab's own. The same packages make the same
digest on any day; on any machine, as long as its zlib packs alike.

Modules: recipe and recipes say what is in an image; tree turns that into entries;
archive packs entries as a layer; documents says what the image is; ready looks whether
it is made already; make does it once.
"""

from labkit.image.made.make import Made, NameTaken, make
from labkit.image.made.recipes import RECIPES, find

__all__ = ["RECIPES", "Made", "NameTaken", "find", "make"]
