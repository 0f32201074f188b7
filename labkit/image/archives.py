"""An image as one file: save and load; a file tree as one: import. Chapter 11.

    labkit save alpine -o alpine.tar     an OCI layout as a tar archive, with Docker's
                                         manifest.json: everybody can read it
    labkit load -i alpine.tar            what save wrote here, or docker save, podman
                                         save, skopeo copy ... oci-archive: elsewhere
    labkit import tree.tar tree:new      an image of one layer

Reading order: save, load, import_tree.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from io import BufferedReader

from labkit.errors import DocumentError
from labkit.image import manifest, media_types
from labkit.image.config import Config, History
from labkit.image.descriptor import REFERENCE_NAME, Descriptor, Platform
from labkit.image.digest import Digest
from labkit.image.fields import Fields, read_document
from labkit.image.manifest import Index, Manifest
from labkit.image.reference import Reference
from labkit.image.store import Store, children
from labkit.layers.apply import Limits
from labkit.layers.compression import CHUNK, Compressor, Decompressed, Form, form_of
from labkit.layers.root import clean
from labkit.layers.tar_member import Kind, Member
from labkit.layers.tar_reader import TarReader
from labkit.layers.tar_writer import TarWriter
from labkit.text import one_line

_TYPES = {
    Form.PLAIN: media_types.LAYER,
    Form.GZIP: media_types.LAYER_GZIP,
    Form.ZSTD: media_types.LAYER_ZSTD,
}
_FULL_NAME = "io.containerd.image.name"
# What saved images consist of, in all their forms since 2013.
_EXPECTED = re.compile(
    r"oci-layout|repositories|blobs/\w+/\w+|[\w.:-]+\.(json|tar)"
    r"|[0-9a-f]{64}/(json|VERSION|layer\.tar)"
)


def save(
    store: Store, names: Sequence[Reference], to: Callable[[bytes], object]
) -> None:
    """Write images as one tar archive.

    Args: store; names; to [takes the archive's bytes].
    Raises: NoSuchImage; DigestMismatch: what is damaged isn't passed on.
    Spec: image-spec, image-layout.md.
    """
    archive = TarWriter(to)
    named = {reference: store.resolve(reference) for reference in names}
    _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    index = Index(tuple(_full_named(r, d) for r, d in named.items()))
    _add(archive, "index.json", index.to_bytes())
    _add(archive, "manifest.json", _docker_manifest(store, named))
    blobs = (blob for one in named.values() for blob in _blobs(store, one))
    for blob in {blob.digest: blob for blob in blobs}.values():
        with store.open(blob) as content:
            archive.add(Member(_place(blob.digest), size=blob.size), content)
    archive.end()


def load(
    store: Store, saved: BufferedReader, name: Reference | None = None
) -> tuple[Reference, ...]:
    """Bring in saved images.

    Args: store; saved [a tar archive, compressed or not; it is closed]; name [for an
        image that has none of its own].
    Returns: the names.
    Raises: DocumentError when it is no saved image, or has no name; NoSuchBlob when a
        part is missing; DigestMismatch; HostError: ENOSPC.
    """
    with store.lease():
        files = _bring_in(store, saved)
        if "index.json" in files:
            found = _from_layout(store, files, name)
        elif "manifest.json" in files:
            found = _from_docker(store, files, name)
        else:
            raise _no_image("it has neither index.json nor manifest.json")
        for reference, descriptor in found:
            for _ in _blobs(store, descriptor):
                pass  # each must be here before the image has a name
            store.tag(reference, descriptor)
    return tuple(reference for reference, _ in found)


def import_tree(store: Store, tree: BufferedReader, name: Reference) -> Descriptor:
    """Make an image of one layer from an archive of files.

    Args: store; tree [a tar archive, compressed or not; it is closed]; name.
    Returns: the manifest's descriptor.
    Raises: DocumentError for an archive that is none or leads out of its root.
    """
    with store.lease():
        with (
            store.create(media_types.LAYER_GZIP) as blob,
            Decompressed(tree, Limits().bytes) as archive,
        ):
            layer = Compressor(blob.write)
            while data := archive.some(CHUNK):
                layer.write(data)
            layer.finish()
            descriptor = blob.commit()
        with Decompressed(store.open(descriptor), Limits().bytes) as archive:
            for member in TarReader(archive):
                clean(member.name)  # refused now rather than when it is unpacked
        history = (History(created_by="labkit import"),)
        config = Config(Platform.here(), (Digest(layer.digest),), history=history)
        return put(store, config, (descriptor,), name)


def put(
    store: Store, config: Config, layers: Sequence[Descriptor], name: Reference
) -> Descriptor:
    """Write the documents of an image whose layers are here, and give it its name.

    Returns: the manifest's descriptor.
    """
    with store.lease():
        described = store.write(config.to_bytes(), media_types.CONFIG)
        document = Manifest(described, tuple(layers))
        descriptor = store.write(document.to_bytes(), document.media_type)
        store.tag(name, descriptor)
    return descriptor


def _add(archive: TarWriter, name: str, data: bytes) -> None:
    archive.add(Member(name, size=len(data)), io.BytesIO(data))


def _place(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.encoded}"


def _full_named(reference: Reference, descriptor: Descriptor) -> Descriptor:
    notes = {_FULL_NAME: str(reference), REFERENCE_NAME: reference.tag or ""}
    return replace(descriptor, annotations={**descriptor.annotations, **notes})


def _blobs(store: Store, descriptor: Descriptor) -> Iterator[Descriptor]:
    # Of an index only the images that are here; they are opened by whoever reads them.
    for one, document in store.documents(descriptor):
        yield one
        if isinstance(document, Manifest):
            for blob in children(document):
                store.open(blob).close()
                yield blob


def _docker_manifest(store: Store, named: dict[Reference, Descriptor]) -> bytes:
    rows = []
    for reference, descriptor in named.items():
        document = manifest.parse(store.read(descriptor), descriptor.media_type)
        if isinstance(document, Manifest):
            layers = [_place(layer.digest) for layer in document.layers]
            config = _place(document.config.digest)
            names = [str(reference)] if reference.tag else []
            rows.append({"Config": config, "RepoTags": names, "Layers": layers})
    return json.dumps(rows).encode()


def _bring_in(store: Store, saved: BufferedReader) -> dict[str, Descriptor]:
    # Each file becomes a blob; which is which, the documents among them say.
    files: dict[str, Descriptor] = {}
    links: dict[str, str] = {}
    with Decompressed(saved, Limits().bytes) as archive:
        reader = TarReader(archive)
        for member in reader:
            name = clean(member.name)
            if member.kind in (Kind.SYMLINK, Kind.HARD_LINK):
                above = os.path.dirname(name) if member.kind is Kind.SYMLINK else ""
                links[name] = os.path.normpath(os.path.join(above, member.link))
            elif member.kind is Kind.FILE:
                files[name] = _keep(store, name, reader.pieces(member))
        archive.drain()
    return files | {name: files[to] for name, to in links.items() if to in files}


def _keep(
    store: Store, name: str, pieces: Iterator[tuple[int, bytes | memoryview]]
) -> Descriptor:
    if not _EXPECTED.fullmatch(name):
        raise _no_image(f'it has a file "{one_line(name)}"')
    with store.create("") as blob:
        for _, data in pieces:
            blob.write(data)
        return blob.commit()


def _from_layout(
    store: Store, files: dict[str, Descriptor], name: Reference | None
) -> list[tuple[Reference, Descriptor]]:
    fields = read_document(store.read(files["index.json"]), "index.json")
    found = []
    for descriptor in Index.from_json(fields).manifests:
        notes = descriptor.annotations
        text = notes.get(_FULL_NAME) or notes.get(REFERENCE_NAME, "")
        # "latest" alone is a tag without a name.
        own = Reference.parse(text) if re.search("[/:]", text) else None
        found.append((_named(own, name), replace(descriptor, annotations={})))
    return found


def _from_docker(
    store: Store, files: dict[str, Descriptor], name: Reference | None
) -> list[tuple[Reference, Descriptor]]:
    data = store.read(files["manifest.json"])
    document = read_document(b'{"manifest.json":%b}' % data, "load")
    found = []
    for fields in document.parts("manifest.json"):
        config = replace(_file(files, fields, "Config"), media_type=media_types.CONFIG)
        layers = []
        for place in fields.texts("Layers"):
            layer = _file(files, fields, "Layers", place)
            with store.open(layer) as blob:
                layers.append(replace(layer, media_type=_TYPES[form_of(blob)]))
        written = Manifest(config, tuple(layers))
        descriptor = store.write(written.to_bytes(), written.media_type)
        names = [Reference.parse(text) for text in fields.texts("RepoTags")]
        found += [(one, descriptor) for one in names or [_named(None, name)]]
    return found


def _file(
    files: dict[str, Descriptor], fields: Fields, name: str, place: str = ""
) -> Descriptor:
    place = place or fields.text(name)
    if place not in files:
        raise fields.wrong(name, f'"{one_line(place)}" isn\'t in the archive')
    return files[place]


def _named(own: Reference | None, given: Reference | None) -> Reference:
    found = given or own
    if found is None:
        raise DocumentError(
            "load: the image has no name",
            "labkit load --name NAME",
            "chapter 11",
            meaning="the archive says at most a tag",
        )
    return found


def _no_image(problem: str) -> DocumentError:
    return DocumentError(
        f"load: this is no saved image: {problem}",
        "labkit import, if it is an archive of files",
        "chapter 11",
        meaning="a saved image has blobs and documents, as docker save writes them",
    )
