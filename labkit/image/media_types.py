"""The media types of images: what a blob is. Chapter 11.

    OCI                                          Docker (schema 2)
    application/vnd.oci.image.index.v1+json      ...distribution.manifest.list.v2+json
    application/vnd.oci.image.manifest.v1+json   ...distribution.manifest.v2+json
    application/vnd.oci.image.config.v1+json     ...container.image.v1+json
    application/vnd.oci.image.layer.v1.tar+gzip  ...image.rootfs.diff.tar.gzip

The two families say the same in the same fields: whoever reads one reads the other.
"""

from __future__ import annotations

_OCI = "application/vnd.oci.image."
_DOCKER = "application/vnd.docker."

INDEX = f"{_OCI}index.v1+json"
MANIFEST = f"{_OCI}manifest.v1+json"
CONFIG = f"{_OCI}config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
LAYER = f"{_OCI}layer.v1.tar"
LAYER_GZIP = f"{LAYER}+gzip"
LAYER_ZSTD = f"{LAYER}+zstd"

DOCKER_INDEX = f"{_DOCKER}distribution.manifest.list.v2+json"
DOCKER_MANIFEST = f"{_DOCKER}distribution.manifest.v2+json"
DOCKER_CONFIG = f"{_DOCKER}container.image.v1+json"
DOCKER_LAYER = f"{_DOCKER}image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = f"{DOCKER_LAYER}.gzip"

INDEXES = (INDEX, DOCKER_INDEX)
MANIFESTS = (MANIFEST, DOCKER_MANIFEST)
CONFIGS = (CONFIG, DOCKER_CONFIG)
# "Non-distributable" layers are layers; only their being pushed was once restricted.
LAYERS = (
    LAYER,
    LAYER_GZIP,
    LAYER_ZSTD,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    f"{DOCKER_LAYER}.zstd",
    f"{_OCI}layer.nondistributable.v1.tar",
    f"{_OCI}layer.nondistributable.v1.tar+gzip",
    f"{_OCI}layer.nondistributable.v1.tar+zstd",
    f"{_DOCKER}image.rootfs.foreign.diff.tar.gzip",
)
