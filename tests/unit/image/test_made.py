"""The lab's own images: the same bytes every time, and whole after a kill."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from labkit import cli
from labkit.errors import DocumentError
from labkit.image import (
    Config,
    Descriptor,
    Digest,
    DigestMismatch,
    Manifest,
    Reference,
    Store,
    media_types,
    parse,
)
from labkit.image.made import RECIPES, Made, NameTaken, make
from labkit.image.made.documents import OWN
from labkit.linux.views import HostPath
from labkit.rootfs.entries import MTIME_S

ALPINE = Reference.parse("alpine")


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory for each test."""
    monkeypatch.setenv("LABKIT_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def made(store: Store, name: str = "alpine") -> Made:
    """Make one image without a word."""
    (image,) = make([name], store, lambda line: None)
    return image


def documents(store: Store, image: Descriptor) -> tuple[Manifest, Config]:
    manifest = parse(store.read(image))
    assert isinstance(manifest, Manifest)
    return manifest, Config.parse(store.read(manifest.config))


def bytes_of(store: Store, layer: Descriptor) -> bytes:
    with store.open(layer) as blob:
        return blob.read()


def members(store: Store, layer: Descriptor) -> list[tarfile.TarInfo]:
    data = gzip.decompress(bytes_of(store, layer))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getmembers()


def test_two_stores_get_the_same_digest(tmp_path: Path) -> None:
    stores = [Store(HostPath(str(tmp_path / name))) for name in ("one", "two")]
    digests = {made(store).descriptor.digest for store in stores}
    assert len(digests) == 1


def test_neither_times_nor_owners_are_those_of_the_day() -> None:
    store = Store.default()
    manifest, config = documents(store, made(store).descriptor)
    (layer,) = manifest.layers
    names = members(store, layer)
    assert {name.mtime for name in names} == {MTIME_S}
    assert {(name.uid, name.gid, name.uname, name.gname) for name in names} == {
        (0, 0, "", "")
    }
    assert config.created == "2013-03-15T00:00:00Z"
    # RFC 1952: no name, no time.
    assert bytes_of(store, layer)[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"


def test_parents_come_before_their_children() -> None:
    store = Store.default()
    manifest, _ = documents(store, made(store).descriptor)
    seen = {""}
    for member in members(store, manifest.layers[0]):
        assert os.path.dirname(member.name) in seen
        seen.add(member.name)


def test_the_config_names_the_layers_as_they_were_before_packing() -> None:
    store = Store.default()
    manifest, config = documents(store, made(store).descriptor)
    plain = gzip.decompress(bytes_of(store, manifest.layers[0]))
    assert list(config.diff_ids) == [f"sha256:{hashlib.sha256(plain).hexdigest()}"]
    assert [h.empty_layer for h in config.history] == [False, True]


def test_it_says_of_itself_that_it_is_the_labs_own() -> None:
    store = Store.default()
    image = made(store)
    manifest, config = documents(store, image.descriptor)
    key = "org.opencontainers.image.description"
    assert config.execution.labels[key].startswith(OWN)
    assert manifest.annotations[key] == config.execution.labels[key]
    assert "the lab's own" in image.line()


def test_the_second_time_nothing_is_made() -> None:
    store = Store.default()
    first, said = made(store), list[str]()
    (second,) = make(["alpine"], store, said.append)
    assert (second.descriptor.digest, second.layers, said) == (
        first.descriptor.digest, (), [],
    )  # fmt: skip


def test_a_blob_that_is_missing_is_made_again() -> None:
    store = Store.default()
    image = made(store)
    manifest, _ = documents(store, image.descriptor)
    os.unlink(store.path(manifest.layers[0].digest))
    assert made(store).layers
    assert store.has(manifest.layers[0].digest)


def test_an_image_of_somebody_else_keeps_its_name_unless_said_otherwise() -> None:
    store = Store.default()
    other = store.write(
        Manifest(store.write(b"{}", media_types.CONFIG), ()).to_bytes(),
        media_types.MANIFEST,
    )
    store.tag(ALPINE, other)
    with pytest.raises(NameTaken, match="the name is taken"):
        made(store)
    assert store.resolve(ALPINE).digest == other.digest
    list(make(["alpine"], store, lambda line: None, replace=True))
    assert store.resolve(ALPINE).digest != other.digest


def test_an_image_that_somebody_has_made_already_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = made(Store(HostPath(str(tmp_path / "disk")))).descriptor.digest
    monkeypatch.setenv("LABKIT_IMAGES", str(tmp_path / "disk"))
    copied = made(Store.default())
    assert (copied.descriptor.digest, copied.layers) == (digest, ())
    assert f"copied from {tmp_path / 'disk'}" in copied.line()
    assert "there already" in made(Store.default()).line()


def test_a_damaged_copy_is_refused_and_leaves_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Store(HostPath(str(tmp_path / "disk")))
    layer = documents(disk, made(disk).descriptor)[0].layers[0]
    path = Path(disk.path(layer.digest))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    monkeypatch.setenv("LABKIT_IMAGES", str(tmp_path / "disk"))
    with pytest.raises(DigestMismatch):
        made(Store.default())
    assert Store.default().references() == {}
    monkeypatch.delenv("LABKIT_IMAGES")
    assert made(Store.default()).layers


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(DocumentError, match="registry:2"):
        made(Store.default(), "windows")


def test_every_recipe_stands_on_one_that_there_is() -> None:
    names = [recipe.name for recipe in RECIPES]
    assert len(set(names)) == len(names)
    assert {recipe.base for recipe in RECIPES} <= {*names, ""}


def test_the_second_nginx_differs_in_its_last_layer_only() -> None:
    newest, older = (one for one in RECIPES if one.name.startswith("nginx"))
    assert newest.layers[:-1] == older.layers[:-1]
    assert newest.layers[-1] != older.layers[-1]


def test_the_command_prints_the_name_and_the_digest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["images", "make", "alpine"]) == 0
    digest = Store.default().resolve(ALPINE).digest
    printed = capsys.readouterr()
    assert printed.out == f"docker.io/library/alpine:latest@{digest}\n"
    assert "the lab's own" in printed.err


def test_a_command_for_an_unknown_image_has_three_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["images", "make", "windows"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 3


MAKE = """
from labkit.image import Store
from labkit.image.made import make
print(list(make(["alpine"], Store.default(), print)))
"""


def test_after_a_kill_at_any_moment_the_next_try_is_well(own_state: Path) -> None:
    digest = made(Store(HostPath(f"{own_state}-other"))).descriptor.digest
    codes = [killed_after(pause_s, digest) for pause_s in (0.1, 0.2, 0.25, 0.3)]
    assert -signal.SIGKILL in codes
    assert os.listdir(own_state / "images-made") == []


def killed_after(pause_s: float, digest: Digest) -> int:
    """Kill a process that makes an image, then make it and see that all is well."""
    with subprocess.Popen([sys.executable, "-c", MAKE], stdout=-3) as process:
        time.sleep(pause_s)
        process.send_signal(signal.SIGKILL)
    store = Store.default()
    assert made(store).descriptor.digest == digest
    store.untag(ALPINE)
    store.prune()
    assert list(store.all()) == []
    return process.returncode
