"""Images as the OCI image specification says. Chapter 11.

What the names are and where they live:

    Reference           alpine -> docker.io/library/alpine:latest
    Digest              sha256:... : the name that bytes have by themselves
    Descriptor ...      the documents: descriptor, manifest, config, fields, media_types
    Store               the content store: store, blobs, ingest, locks
"""

from labkit.image.config import Config, Execution, History
from labkit.image.descriptor import Descriptor, Platform
from labkit.image.digest import Digest, DigestMismatch, Hashing
from labkit.image.ingest import Ingest
from labkit.image.manifest import Index, Manifest, parse
from labkit.image.reference import Reference
from labkit.image.store import NoSuchImage, Pruned, Store

__all__ = [
    "Config",
    "Descriptor",
    "Digest",
    "DigestMismatch",
    "Execution",
    "Hashing",
    "History",
    "Index",
    "Ingest",
    "Manifest",
    "NoSuchImage",
    "Platform",
    "Pruned",
    "Reference",
    "Store",
    "parse",
]
