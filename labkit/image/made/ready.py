"""Images that are ready: in the store already, or in somebody else's.

LABKIT_IMAGES may name a folder in OCI layout form, on a disk that goes from hand to
hand in a workshop: `LABKIT_STATE=... labkit images make` has made its images. They are
copied, verified as they pass, and no mirror is asked.
"""

from __future__ import annotations

import os
import shutil

from labkit.errors import LabError
from labkit.image import manifest
from labkit.image.descriptor import Descriptor
from labkit.image.made.documents import RECIPE
from labkit.image.manifest import Manifest
from labkit.image.reference import Reference
from labkit.image.store import NoSuchImage, Store, children
from labkit.linux.views import HostPath

VARIABLE = "LABKIT_IMAGES"
SOMEBODY_ELSES = ""


def find_image(store: Store, name: str) -> Descriptor | None:
    """Return what a name means in a store; None for nothing."""
    try:
        return store.resolve(Reference.parse(name))
    except NoSuchImage:
        return None


def recipe_of(store: Store, image: Descriptor) -> str | None:
    """Return from which recipe an image is: its digest.

    Returns: SOMEBODY_ELSES for an image that the lab hasn't made; None for one that is
        damaged or not whole.
    """
    try:
        document = manifest.parse(store.read(image))
    except LabError:
        return None
    if not isinstance(document, Manifest) or RECIPE not in document.annotations:
        return SOMEBODY_ELSES
    whole = all(store.has(blob.digest) for blob in children(document))
    return document.annotations[RECIPE] if whole else None


def copy_ready_made(
    name: str, wanted: str, store: Store
) -> tuple[Descriptor | None, str]:
    """Copy an image of the lab's from LABKIT_IMAGES, if it has one of this recipe.

    Args: name [of the image]; wanted [the recipe's digest].
    Returns: the image, which has its name then, and where it came from.
    Raises: DigestMismatch when the bytes there are damaged; HostError: ENOSPC.
    """
    place = os.environ.get(VARIABLE, "")
    if not os.path.exists(os.path.join(place, "index.json")):
        return None, place
    source = Store(HostPath(place))
    image = find_image(source, name)
    if image is None or recipe_of(source, image) != wanted:
        return None, place
    # The manifest last: whoever sees it expects to find what it names.
    for blob in (*children(manifest.parse(source.read(image))), image):
        _copy(blob, source, store)
    store.tag(Reference.parse(name), image)
    return image, place


def _copy(blob: Descriptor, source: Store, store: Store) -> None:
    with store.ingest(blob) as target, source.open(blob) as data:
        data.read(target.offset)  # brought by an earlier try
        shutil.copyfileobj(data, target)
        target.commit()
