"""The image store: blobs that are what their names say, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from labkit.errors import DocumentError, HostError, StateError
from labkit.image import (
    Descriptor,
    Digest,
    DigestMismatch,
    Index,
    NoSuchImage,
    Reference,
    Store,
    media_types,
)
from labkit.image.blobs import NoSuchBlob
from labkit.linux.views import HostPath
from tests.support.archives import HARD
from tests.support.layouts import put_image

pytestmark = pytest.mark.usefixtures("host_directory")
INSIDE = {"store"}
ALPINE = Reference.parse("alpine")
BYTES = b"some bytes" * 1000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(HostPath(str(tmp_path / "store")))


def files(store: Store) -> set[str]:
    """Every file below the store but its locks."""
    found = (p for p in Path(store.root).rglob("*") if p.is_file())
    return {str(p.relative_to(store.root)) for p in found if "lock" not in p.name}


def test_the_directory_is_an_oci_layout(store: Store) -> None:
    descriptor = store.write(BYTES, "x")
    place = f"blobs/sha256/{descriptor.digest.encoded}"
    assert files(store) == {"oci-layout", place}
    assert Path(store.root, "oci-layout").read_text().strip() == (
        '{"imageLayoutVersion":"1.0.0"}'
    )


def test_the_same_bytes_are_kept_once(store: Store) -> None:
    assert store.write(BYTES, "x") == store.write(BYTES, "x")
    assert list(store.all()) == [Digest.of(BYTES)]


def test_a_changed_byte_is_refused_and_can_be_fetched_again(store: Store) -> None:
    descriptor = store.write(BYTES, "x")
    path = Path(store.path(descriptor.digest))
    path.write_bytes(b"S" + BYTES[1:])
    with pytest.raises(DigestMismatch, match="its digest is"):
        store.read(descriptor)
    assert not store.has(descriptor.digest)
    with pytest.raises(NoSuchBlob):
        store.open(descriptor)
    store.write(BYTES, "x")
    assert store.read(descriptor) == BYTES


@pytest.mark.parametrize("there", [BYTES[:-1], BYTES + b"!", b""])
def test_a_wrong_length_is_refused(store: Store, there: bytes) -> None:
    descriptor = store.write(BYTES, "x")
    Path(store.path(descriptor.digest)).write_bytes(there)
    with pytest.raises(DigestMismatch, match="bytes instead of"):
        store.read(descriptor)


def test_a_descriptor_with_a_wrong_size_is_refused(store: Store) -> None:
    digest = store.write(BYTES, "x").digest
    with pytest.raises(DigestMismatch):
        store.read(Descriptor("x", digest, 3))


def test_a_broken_ingest_goes_on_where_it_broke(store: Store) -> None:
    descriptor = Descriptor.of(BYTES, "x")
    with pytest.raises(ConnectionError), store.ingest(descriptor) as blob:
        blob.write(BYTES[:4000])
        raise ConnectionError
    assert not store.has(descriptor.digest)
    with store.ingest(descriptor) as blob:
        assert blob.offset == 4000
        blob.write(BYTES[4000:])
        assert blob.commit() == descriptor
    assert store.read(descriptor) == BYTES
    assert os.listdir(Path(store.root, "ingest")) == []


def test_a_partial_file_with_wrong_bytes_is_thrown_away(store: Store) -> None:
    descriptor = Descriptor.of(BYTES, "x")
    with store.ingest(descriptor) as blob:
        blob.write(b"wrong" + BYTES[5:100])
    with pytest.raises(DigestMismatch), store.ingest(descriptor) as blob:
        blob.write(BYTES[blob.offset :])
        blob.commit()
    with store.ingest(descriptor) as blob:
        assert blob.offset == 0
        blob.write(BYTES)
        blob.commit()


def test_the_first_byte_too_many_is_refused(store: Store) -> None:
    with pytest.raises(DigestMismatch), store.ingest(Descriptor.of(b"ab", "x")) as blob:
        blob.write(b"abc")
    assert files(store) == {"oci-layout"}


def test_too_few_bytes_are_refused(store: Store) -> None:
    with (
        pytest.raises(DigestMismatch, match="1 bytes instead of 2"),
        store.ingest(Descriptor.of(b"ab", "x")) as blob,
    ):
        blob.write(b"a")
        blob.commit()


def test_a_blob_that_is_there_is_not_brought_twice(store: Store) -> None:
    descriptor = store.write(BYTES, "x")
    with store.ingest(descriptor) as blob:
        assert blob.offset == len(BYTES)
        assert blob.commit() == descriptor


def test_what_is_being_made_and_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(ValueError, match="stop"), store.create("x") as blob:
        blob.write(BYTES)
        raise ValueError("stop")
    assert files(store) == {"oci-layout"}


_BRING = """
import sys, time
from labkit.image import Store, Reference, Descriptor
store, data = Store(sys.argv[1]), b"some bytes" * 1000
descriptor = Descriptor.of(data, "x")
with store.ingest(descriptor) as blob:
    for start in range(blob.offset, len(data), 500):
        blob.write(data[start : start + 500])
        time.sleep(0.001)
    blob.commit()
store.tag(Reference.parse(sys.argv[2]), descriptor)
"""


def test_several_processes_bring_one_blob_at_once(store: Store) -> None:
    names = [f"name{n}" for n in range(4)]
    argv = [sys.executable, "-c", _BRING, store.root]
    tasks = [subprocess.Popen([*argv, name]) for name in names]
    assert [task.wait(60) for task in tasks] == [0] * 4
    known = [one.repository for one in store.references()]
    assert known == [f"library/{name}" for name in names]
    assert store.read(Descriptor.of(BYTES, "x")) == BYTES


def test_threads_tag_at_once_and_no_name_is_lost(store: Store) -> None:
    descriptor = store.write(BYTES, "x")
    names = [Reference.parse(f"name{n}") for n in range(12)]
    tasks = [threading.Thread(target=store.tag, args=(n, descriptor)) for n in names]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    assert set(store.references()) == set(names)


def test_a_name_means_what_was_tagged_last(store: Store) -> None:
    first, second = store.write(b"1", "x"), store.write(b"2", "x")
    store.tag(ALPINE, first)
    store.tag(ALPINE, second)
    assert store.resolve(ALPINE).digest == second.digest
    by_digest = Reference(ALPINE.registry, ALPINE.repository, None, second.digest)
    assert store.resolve(by_digest).digest == second.digest
    store.untag(ALPINE)
    with pytest.raises(NoSuchImage, match="labkit pull alpine:latest"):
        store.resolve(ALPINE)


def test_a_name_for_bytes_that_are_not_here_is_refused(store: Store) -> None:
    with pytest.raises(NoSuchImage):
        store.tag(ALPINE, Descriptor.of(b"elsewhere", "x"))


def test_prune_removes_what_no_name_leads_to(store: Store) -> None:
    put_image(store, "kept", HARD["whiteout"])
    gone = put_image(store, "gone", HARD["plain"])
    before = set(store.all())
    index = Index((gone,))
    listed = store.write(index.to_bytes(), media_types.INDEX)
    store.tag(Reference.parse("list"), listed)
    store.untag(Reference.parse("gone"))
    assert store.prune().blobs == ()
    store.untag(Reference.parse("list"))
    with store.ingest(Descriptor.of(BYTES, "x")) as blob:
        blob.write(BYTES[:10])
    pruned = store.prune()
    assert gone.digest in pruned.blobs
    assert listed.digest in pruned.blobs
    # The layer that both images have stays: five blobs of "kept" with two layers.
    assert len(pruned.blobs) == 3
    assert set(store.all()) == before - set(pruned.blobs)
    assert os.listdir(Path(store.root, "ingest")) == []


def test_prune_keeps_what_a_container_uses(store: Store) -> None:
    image = put_image(store, "image", HARD["plain"])
    store.untag(Reference.parse("image"))
    assert store.prune(keep=[image.digest]).blobs == ()
    assert len(store.prune().blobs) == 3


def test_each_document_comes_once_and_after_those_that_it_names(store: Store) -> None:
    image = put_image(store, "it", HARD["plain"])
    low = store.write(Index((image,)).to_bytes(), media_types.INDEX)
    missing = Descriptor.of(b"for another platform", media_types.MANIFEST)
    high = store.write(Index((image, low, missing, low)).to_bytes(), media_types.INDEX)
    found = [descriptor for descriptor, _ in store.documents(high)]
    assert [one.digest for one in found] == [image.digest, low.digest, high.digest]


def test_prune_waits_for_nobody_who_brings_an_image(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labkit.image.store._PRUNE_WAIT_S", 0.1)
    with store.lease():
        store.write(BYTES, "x")
        with pytest.raises(StateError, match="in use"):
            store.prune()
    assert store.prune().blobs == (Digest.of(BYTES),)


def test_prune_removes_nothing_while_a_document_cannot_be_read(store: Store) -> None:
    image = put_image(store, "image", HARD["plain"])
    before = set(store.all()) - {image.digest}
    Path(store.path(image.digest)).write_bytes(b"x" * image.size)
    with pytest.raises(DigestMismatch):
        store.prune()
    assert set(store.all()) == before


def test_a_damaged_list_of_names_is_an_error_and_not_an_empty_list(
    store: Store,
) -> None:
    Path(store.root, "index.json").write_text('{"manifests": [')
    with pytest.raises(DocumentError, match=r"index\.json"):
        store.references()


# Runs until it is killed; each line says that a blob is complete.
_ENDLESS = """
import sys
from labkit.image import Store, Reference, Descriptor
store = Store(sys.argv[1])
for n in range(100000):
    data = bytes([n % 251]) * (200_000 + n)
    with store.ingest(Descriptor.of(data, "x")) as blob:
        for start in range(blob.offset, len(data), 10_000):
            blob.write(data[start : start + 10_000])
        descriptor = blob.commit()
    store.tag(Reference.parse(f"name{n % 7}"), descriptor)
    print(n, flush=True)
"""


@pytest.mark.parametrize("seed", range(8))
def test_kill_at_any_moment_leaves_the_store_intact(store: Store, seed: int) -> None:
    argv = [sys.executable, "-c", _ENDLESS, store.root]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as task:
        assert task.stdout is not None
        task.stdout.readline()
        time.sleep(0.003 * seed)
        task.send_signal(signal.SIGKILL)
    for digest in store.all():
        size = os.path.getsize(store.path(digest))
        assert len(store.read(Descriptor("x", digest, size))) == size
    for descriptor in store.references().values():
        store.read(descriptor)
    # The next try works, and nothing is left of the broken one in the end.
    store.write(BYTES, "x")
    store.prune(keep=[Digest.of(BYTES)])
    assert not os.listdir(Path(store.root, "ingest"))


def test_a_store_that_cannot_be_written_says_so() -> None:
    with pytest.raises(HostError, match="state directory"):
        Store(HostPath("/proc/nowhere"))
