"""Saved images: written, read again, and refused when they aren't what they say."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import DocumentError, LabError
from labkit.image import (
    Descriptor,
    Digest,
    DigestMismatch,
    Image,
    Index,
    NoSuchImage,
    Reference,
    Store,
    media_types,
)
from labkit.image.archives import import_tree, load, save
from labkit.image.verbs import history, inspect, remove, rows, tag
from labkit.linux.views import HostPath
from tests.support.archives import HARD, archive, entry, link
from tests.support.layouts import put_image

pytestmark = pytest.mark.usefixtures("host_directory")
INSIDE = {"store", "other"}
IT = Reference.parse("it")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(HostPath(str(tmp_path / "store")))


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return Store(HostPath(str(tmp_path / "other")))


def stream(data: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(data))


def saved(store: Store, *names: str) -> bytes:
    out = io.BytesIO()
    save(store, [Reference.parse(name) for name in names], out.write)
    return out.getvalue()


def test_what_is_saved_is_loaded_elsewhere(store: Store, other: Store) -> None:
    put_image(store, "it", HARD["whiteout"])
    tag(store, "it", "localhost:5000/also:1")
    names = load(other, stream(saved(store, "it", "localhost:5000/also:1")))
    assert [name.familiar for name in names] == ["it:latest", "localhost:5000/also:1"]
    assert set(other.all()) >= set(store.all())
    assert Image.find(other, "it").config == Image.find(store, "it").config


def test_a_saved_image_is_the_same_every_time(store: Store) -> None:
    put_image(store, "it", HARD["plain"])
    assert saved(store, "it") == saved(store, "it")


def test_a_compressed_archive_is_loaded_as_well(store: Store, other: Store) -> None:
    put_image(store, "it", HARD["plain"])
    assert load(other, stream(gzip.compress(saved(store, "it")))) == (IT,)


def test_a_damaged_image_is_not_passed_on(store: Store) -> None:
    put_image(store, "it", HARD["plain"])
    layer = Image.find(store, "it").layers[0].descriptor
    path = Path(store.path(layer.digest))
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(DigestMismatch):
        saved(store, "it")


def docker_archive(**changes: Any) -> bytes:
    """What docker save wrote for years: layers that aren't compressed, and links."""
    layer = HARD["plain"][0]
    config = {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"diff_ids": [f"sha256:{_sha256(layer)}"]},
        "config": {"Cmd": ["sh"]},
    }
    row = {"Config": "c.json", "RepoTags": ["it:latest"], "Layers": ["l/layer.tar"]}
    return archive(
        [
            entry("c.json", json.dumps(config)),
            link("l/layer.tar", "../x.tar"),
            entry("x.tar", layer),
            entry("manifest.json", json.dumps([row | changes])),
        ]
    )


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def test_dockers_old_form_is_loaded(store: Store) -> None:
    assert load(store, stream(docker_archive())) == (IT,)
    image = Image.find(store, "it")
    assert image.config.execution.argv == ("sh",)
    assert store.open(image.layers[0].descriptor).read() == HARD["plain"][0]


def test_an_image_without_a_name_gets_the_one_that_is_given(store: Store) -> None:
    data = docker_archive(RepoTags=None)
    with pytest.raises(DocumentError, match="no name"):
        load(store, stream(data))
    assert load(store, stream(data), Reference.parse("named")) == (
        Reference.parse("named"),
    )


def changed_layout(change: Callable[[dict[str, Any]], None]) -> bytes:
    """A layout whose index.json was changed by hand."""
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        store = Store(HostPath(place))
        put_image(store, "it", HARD["plain"])
        descriptor = store.resolve(IT)
        index = json.loads(Path(place, "index.json").read_text())
        change(index["manifests"][0])
        blobs = [
            entry(
                f"blobs/sha256/{digest.encoded}", Path(store.path(digest)).read_bytes()
            )
            for digest in store.all()
        ]
    assert descriptor.size
    return archive([entry("index.json", json.dumps(index)), *blobs])


LOADED_WRONG: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "neither index.json nor manifest.json"),
    "no archive": (lambda: b"<html>" * 200, "no tar archive"),
    "files": (lambda: archive([entry("etc/passwd", "x")]), "labkit import"),
    "names that lead out": (
        lambda: archive([entry("../index.json", "{}")]),
        "leads out",
    ),
    "an index that is none": (lambda: archive([entry("index.json", "[]")]), "object"),
    "a config that is missing": (
        lambda: docker_archive(Config="d.json"),
        "isn't in the archive",
    ),
    "a layer that is missing": (
        lambda: docker_archive(Layers=["../../etc/passwd"]),
        "isn't in the archive",
    ),
    "a digest of nothing": (
        lambda: changed_layout(lambda d: d.update(digest="sha256:" + "0" * 64)),
        "aren't here",
    ),
    "a wrong size": (lambda: changed_layout(lambda d: d.update(size=3)), "instead of"),
    "a wrong media type": (
        lambda: changed_layout(lambda d: d.update(mediaType="text/html")),
        "in the document",
    ),
    "an index in an index": (lambda: _index_of("sha256:" + "1" * 64), "aren't here"),
}


def _index_of(digest: str) -> bytes:
    row = {
        "mediaType": media_types.INDEX,
        "digest": digest,
        "size": 2,
        "annotations": {"io.containerd.image.name": "a.b/c:d"},
    }
    return archive([entry("index.json", json.dumps({"manifests": [row]}))])


@pytest.mark.parametrize("name", LOADED_WRONG)
def test_what_is_no_saved_image_is_refused_and_has_no_name(
    name: str, store: Store
) -> None:
    make, words = LOADED_WRONG[name]
    with pytest.raises(LabError) as refused:
        load(store, stream(make()))
    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) == 3
    assert store.references() == {}
    store.prune()
    assert list(store.all()) == []


@pytest.mark.parametrize(("deep", "wide"), [(12, 20), (1200, 1)])
def test_indexes_that_lead_to_one_another_come_to_an_end(
    deep: int, wide: int, store: Store
) -> None:
    # 20 to the power of 12 ways lead down, or more than Python can go by recursion.
    documents = [Index(()).to_bytes()]
    for _ in range(deep):
        below = Descriptor.of(documents[-1], media_types.INDEX)
        documents.append(Index((below,) * wide).to_bytes())
    top = Descriptor.of(documents[-1], media_types.INDEX)
    named = replace(top, annotations={"io.containerd.image.name": "docker.io/x/it"})
    blobs = [
        entry(f"blobs/sha256/{Digest.of(data).encoded}", data) for data in documents
    ]
    listed = entry("index.json", Index((named,)).to_bytes())
    load(store, stream(archive([listed, *blobs])))
    assert len(read_names(saved(store, "x/it"))) == deep + 1 + len(DOCUMENTS)
    remove(store, "x/it")
    store.prune()
    assert list(store.all()) == []


DOCUMENTS = ("oci-layout", "index.json", "manifest.json")


def read_names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getnames()


def test_a_tree_becomes_an_image_of_one_layer(store: Store) -> None:
    import_tree(store, stream(gzip.compress(HARD["plain"][0])), IT)
    (layer,) = Image.find(store, "it").layers
    assert layer.diff_id == f"sha256:{_sha256(HARD['plain'][0])}"
    assert layer.instruction == "labkit import"


@pytest.mark.parametrize(
    "data", [b"text" * 200, archive([entry("../x", "1")]), HARD["plain"][0][:700]]
)
def test_what_is_no_tree_is_refused(data: bytes, store: Store) -> None:
    with pytest.raises(DocumentError):
        import_tree(store, stream(data), IT)
    assert store.references() == {}


def test_a_name_is_removed_and_with_the_last_one_the_blobs(store: Store) -> None:
    put_image(store, "it", HARD["whiteout"])
    put_image(store, "base", HARD["plain"])
    tag(store, "it", "too")
    assert remove(store, "it") == ("docker.io/library/it:latest",)
    before = len(list(store.all()))
    remove(store, "too")
    assert len(list(store.all())) == before - 3  # the lower layer is base's, too
    assert [row.reference.familiar for row in rows(store)] == ["base:latest"]
    with pytest.raises(NoSuchImage):
        remove(store, "it")


def test_an_id_of_several_names_is_not_removed(store: Store) -> None:
    put_image(store, "it", HARD["plain"])
    tag(store, "it", "too")
    digits = Image.find(store, "it").id.short
    with pytest.raises(LabError, match="2 names"):
        remove(store, digits)
    remove(store, "too")
    assert remove(store, digits) == ("docker.io/library/it:latest",)


def test_an_image_is_found_by_the_first_digits_of_its_id(store: Store) -> None:
    put_image(store, "it", HARD["plain"])
    image = Image.find(store, "it")
    for digest in (image.id, image.descriptor.digest):
        assert Image.find(store, digest.short).id == image.id
        assert Image.find(store, str(digest)).id == image.id


def test_history_and_inspect_say_what_made_each_layer(store: Store) -> None:
    put_image(store, "it", HARD["whiteout"])
    image = Image.find(store, "it")
    assert [line for line, _ in history(image)] == ["layer 1", "layer 0"]
    document = inspect(image)
    assert [layer["CreatedBy"] for layer in document["Layers"]] == [
        "layer 0",
        "layer 1",
    ]
    assert document["RepoTags"] == ["it:latest"]
    json.dumps(document)


def test_an_image_that_cannot_be_read_is_listed_with_the_reason(store: Store) -> None:
    put_image(store, "it", HARD["plain"])
    put_image(store, "other", HARD["whiteout"])
    config = Image.find(store, "it").manifest.config
    Path(store.path(config.digest)).write_bytes(b"x" * config.size)
    assert [bool(row.problem) for row in rows(store)] == [True, False]
