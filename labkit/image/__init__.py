"""Images as the OCI image specification says. Chapter 11.

    Reference             alpine -> docker.io/library/alpine:latest
    Digest                sha256:... : the name that bytes have by themselves
    Descriptor, Manifest, Index, Config      the documents, and what they point at
    Store                 blobs and names on the disk, in OCI layout form
    Image                 all documents of one image, compared with one another
    Trees                 its layers, unpacked once for all containers

Reading order: reference, digest, descriptor, manifest, config; blobs, ingest, store;
image, trees. What is in a layer: labkit.layers.
"""

from labkit.lazy import names_from as _names_from

TYPE_CHECKING = False  # without typing, whose import takes milliseconds
if TYPE_CHECKING:
    from labkit.image.config import Config, Execution, History
    from labkit.image.descriptor import Descriptor, Platform
    from labkit.image.digest import Digest, DigestMismatch, Hashing
    from labkit.image.image import Image
    from labkit.image.ingest import Ingest
    from labkit.image.manifest import Index, Manifest, parse
    from labkit.image.reference import Reference
    from labkit.image.store import NoSuchImage, Pruned, Store
    from labkit.image.trees import Trees

__all__ = [
    "Config",
    "Descriptor",
    "Digest",
    "DigestMismatch",
    "Execution",
    "Hashing",
    "History",
    "Image",
    "Index",
    "Ingest",
    "Manifest",
    "NoSuchImage",
    "Platform",
    "Pruned",
    "Reference",
    "Store",
    "Trees",
    "parse",
]

# Where each name lives. Loaded when it is first asked for: the command line imports
# this package for its list of commands.
_HOMES = {
    "config": ("Config", "Execution", "History"),
    "descriptor": ("Descriptor", "Platform"),
    "digest": ("Digest", "DigestMismatch", "Hashing"),
    "image": ("Image",),
    "ingest": ("Ingest",),
    "manifest": ("Index", "Manifest", "parse"),
    "reference": ("Reference",),
    "store": ("NoSuchImage", "Pruned", "Store"),
    "trees": ("Trees",),
}

__getattr__ = _names_from(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
