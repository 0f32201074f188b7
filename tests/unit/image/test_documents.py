"""The documents of an image: read, written, refused with the place of the mistake."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import DocumentError
from labkit.image import (
    Config,
    Descriptor,
    Digest,
    Image,
    Index,
    Manifest,
    Platform,
    Store,
    media_types,
    parse,
)
from labkit.image.fields import LONGEST
from labkit.linux.views import HostPath

pytestmark = pytest.mark.usefixtures("host_directory")
INSIDE = {"store"}
SHA = "sha256:" + "a" * 64
LAYER = {"mediaType": media_types.LAYER_GZIP, "digest": SHA, "size": 5}
CONFIG = {"mediaType": media_types.CONFIG, "digest": SHA, "size": 2}
MANIFEST: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": media_types.MANIFEST,
    "config": CONFIG,
    "layers": [LAYER],
}


def manifest(**changes: Any) -> bytes:
    return json.dumps(MANIFEST | changes).encode()


# what is wrong with a manifest -> a part of the message
WRONG = {
    b"": "no JSON",
    b"<html>": "no JSON",
    b"[]": "expected an object, found a list",
    b"\xff\xfe": "no JSON",
    b'{"a":' * 100_000: "no JSON",
    b'{"schemaVersion": 2, "x": NaN}': "NaN",
    b'{"schemaVersion": 2, "x": "\\ud800"}': "no JSON",
    b" " * (LONGEST + 1): "bytes",
    manifest(schemaVersion=1): "/schemaVersion",
    manifest(schemaVersion=True): "/schemaVersion: expected a whole number, found true",
    manifest(schemaVersion=None): "/schemaVersion",
    manifest(mediaType="text/html"): 'mediaType: "text/html"',
    manifest(mediaType=7): "/mediaType: expected a text",
    manifest(manifests=[]): "a manifest and an index at once",
    manifest(config=None): "/config/mediaType: expected a text, found nothing",
    manifest(config=[]): "/config: expected an object, found a list",
    manifest(layers={}): "/layers: expected a list, found an object",
    manifest(layers=["x"]): '/layers/0: expected an object, found a text "x"',
    manifest(layers=[LAYER, LAYER | {"size": "12"}]): "/layers/1/size",
    manifest(layers=[LAYER | {"size": -1}]): "/layers/0/size: expected 0 to",
    manifest(layers=[LAYER | {"size": 2**63}]): "/layers/0/size",
    manifest(layers=[LAYER | {"size": 1.5}]): "/layers/0/size",
    manifest(layers=[LAYER | {"digest": "sha256:short"}]): "digest",
    manifest(layers=[LAYER | {"digest": "../../etc/passwd"}]): "digest",
    manifest(layers=[LAYER | {"annotations": {"a": 1}}]): "/layers/0/annotations",
    manifest(layers=[LAYER] * 501): "501 layers",
    manifest(annotations=["a"]): "/annotations: expected an object",
    manifest()[:-1] + b', "layers": []}': "'layers' stands twice in one object",
}


@pytest.mark.parametrize("data", WRONG, ids=lambda data: data[:60].decode("latin-1"))
def test_a_wrong_manifest_is_refused_with_the_place(data: bytes) -> None:
    with pytest.raises(DocumentError) as refused:
        parse(data)
    assert WRONG[data] in str(refused.value)
    assert len(str(refused.value).splitlines()) == 3


def test_a_million_layers_are_refused_before_they_are_read() -> None:
    row = b'{"mediaType":"m","digest":"%b","size":1},' % SHA.encode()
    with pytest.raises(DocumentError, match="bytes; 4194304 are allowed"):
        parse(b'{"layers":[' + row * 1_000_000 + b"]}")


def test_document_and_descriptor_must_agree() -> None:
    with pytest.raises(DocumentError, match="in the document"):
        parse(manifest(), media_types.INDEX)


def test_what_was_read_is_written_again() -> None:
    read = parse(manifest(annotations={"a": "b"}, subject=CONFIG))
    assert isinstance(read, Manifest)
    assert parse(read.to_bytes()) == read
    assert json.loads(read.to_bytes()) == json.loads(
        manifest(annotations={"a": "b"}, subject=CONFIG)
    )


def test_dockers_manifest_says_the_same() -> None:
    read = parse(manifest(mediaType=media_types.DOCKER_MANIFEST))
    assert isinstance(read, Manifest)
    assert read.layers[0].digest == SHA


def test_an_index_gives_the_image_for_a_platform() -> None:
    arm, amd = (
        Descriptor(media_types.MANIFEST, Digest.of(name), 1, Platform.parse(text))
        for name, text in ((b"1", "linux/arm64"), (b"2", "linux/amd64"))
    )
    index = parse(Index((arm, amd)).to_bytes())
    assert isinstance(index, Index)
    assert index.choose(Platform.parse("linux/amd64")) == amd
    assert index.choose(Platform.parse("linux/arm64/v8")) == arm
    with pytest.raises(DocumentError, match="linux/amd64, linux/arm64"):
        index.choose(Platform.parse("linux/s390x"))


def test_an_empty_index_says_so() -> None:
    with pytest.raises(DocumentError, match="nothing"):
        Index(()).choose(Platform.here())


DOCKER_CONFIG: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "created": "2026-01-01T00:00:00Z",
    "container": "0123",
    "config": {
        "User": "nginx:nginx",
        "Env": ["PATH=/bin"],
        "Entrypoint": None,
        "Cmd": ["nginx", "-g", "daemon off;"],
        "ExposedPorts": {"80/tcp": {}},
        "Healthcheck": {"Test": ["CMD", "true"]},
        "OnBuild": None,
        "Labels": None,
    },
    "rootfs": {"type": "layers", "diff_ids": [SHA]},
    "history": [{"created_by": "COPY . /"}, {"created_by": "CMD", "empty_layer": True}],
}


def test_a_config_is_read_and_nothing_of_it_is_lost() -> None:
    config = Config.parse(json.dumps(DOCKER_CONFIG).encode())
    assert config.execution.argv == ("nginx", "-g", "daemon off;")
    assert config.execution.exposed_ports == ("80/tcp",)
    assert [entry.empty_layer for entry in config.history] == [False, True]
    again = json.loads(config.to_bytes())
    assert again["container"] == "0123"
    assert again["config"]["Healthcheck"] == {"Test": ["CMD", "true"]}
    assert Config.parse(config.to_bytes()) == config


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"os": None}, "/os: expected a text, found nothing"),
        ({"rootfs": {"diff_ids": [1]}}, "/rootfs/diff_ids"),
        ({"rootfs": {"diff_ids": ["x"]}}, 'digest "x"'),
        ({"config": {"Env": "PATH=/bin"}}, "/config/Env: expected a list"),
        ({"config": {"ExposedPorts": []}}, "/config/ExposedPorts: expected an object"),
        ({"history": [[]]}, "/history/0: expected an object, found a list"),
        ({"history": [{"empty_layer": 1}]}, "/history/0/empty_layer"),
    ],
)
def test_a_wrong_config_is_refused_with_the_place(
    changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(DocumentError) as refused:
        Config.parse(json.dumps(DOCKER_CONFIG | changes).encode())
    assert problem in str(refused.value)


def test_indexes_in_indexes_end_somewhere(tmp_path: Path) -> None:
    store = Store(HostPath(str(tmp_path / "store")))
    descriptor = store.write(Index(()).to_bytes(), media_types.INDEX)
    for _ in range(8):
        inner = Index((replace(descriptor, platform=Platform.here()),))
        descriptor = store.write(inner.to_bytes(), media_types.INDEX)
    with pytest.raises(DocumentError, match="4 deep"):
        Image.load(store, descriptor)


def test_an_artifact_is_no_image(tmp_path: Path) -> None:
    store = Store(HostPath(str(tmp_path / "store")))
    config = store.write(b"{}", media_types.EMPTY)
    descriptor = store.write(Manifest(config, ()).to_bytes(), media_types.MANIFEST)
    with pytest.raises(DocumentError, match="no image's config"):
        Image.load(store, descriptor)


def test_manifest_and_config_must_speak_of_the_same_layers(tmp_path: Path) -> None:
    store = Store(HostPath(str(tmp_path / "store")))
    config = Config(Platform.here(), (Digest.of(b"1"), Digest.of(b"2")))
    described = store.write(config.to_bytes(), media_types.CONFIG)
    data = Manifest(described, ()).to_bytes()
    with pytest.raises(DocumentError, match="2 digests for 0 layers"):
        Image.load(store, store.write(data, media_types.MANIFEST))
