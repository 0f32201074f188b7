"""Names and documents that nobody wrote by hand: read, or refused in three lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import DocumentError
from labkit.image import Config, Digest, Index, Manifest, Reference, media_types, parse

SHA = Digest.of(b"")
PIECES = st.sampled_from(
    ["a", "A", "0", ".", "..", "-", "_", "__", "/", "//", ":", "@", "[", "]", "%2e"]
    + ["localhost", "docker.io", "::1", "5000", "65536", "latest", "f" * 64, "\u00e4"]
    + ["sha256:", "0" * 64, SHA, " ", "a" * 127, "\n"]
)  # fmt: skip
NAMES = st.one_of(st.lists(PIECES, max_size=9).map("".join), st.text(max_size=30))
# Both what documents have and what they don't: a change of any kind.
SCALARS = st.sampled_from(
    [None, True, 0, 2, -1, 1.5, 2**63, "", "x", SHA, "sha256:", "\ud800", "linux"]
    + [media_types.MANIFEST, media_types.INDEX, media_types.CONFIG]
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "size", "digest"]), inner, max_size=3)
    ),
    max_leaves=6,
)
PART = {"mediaType": "a/b", "digest": SHA, "size": 1, "annotations": {"a": "b"}}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "manifest": {"schemaVersion": 2, "config": PART, "layers": [PART], "subject": PART},
    "index": {"schemaVersion": 2, "manifests": [{**PART, "platform": {"os": "linux"}}]},
    "config": {
        "os": "linux",
        "architecture": "amd64",
        "config": {"Env": ["A=b"], "ExposedPorts": {"80/tcp": {}}, "Labels": {}},
        "rootfs": {"type": "layers", "diff_ids": [SHA]},
        "history": [{"created_by": "x", "empty_layer": False}],
    },
}
READERS: dict[str, Callable[[bytes], Manifest | Index | Config]] = {
    "manifest": parse,
    "index": parse,
    "config": Config.parse,
}


@settings(max_examples=400, deadline=None)
@given(NAMES)
def test_any_text_is_a_name_or_is_refused(text: str) -> None:
    try:
        read = Reference.parse(text)
    except DocumentError as refused:
        assert len(str(refused).splitlines()) == 3
        return
    # What reaches a URL or a path has no way to lead elsewhere.
    assert ".." not in read.repository.split("/")
    assert Reference.parse(str(read)) == read == Reference.parse(read.familiar)


@pytest.mark.parametrize("kind", DOCUMENTS)
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_document_is_read_or_refused(kind: str, data: st.DataObject) -> None:
    document = json.loads(json.dumps(DOCUMENTS[kind]))
    place: Any = document
    for _ in range(data.draw(st.integers(0, 3))):
        inner = [key for key in _keys(place) if isinstance(place[key], dict | list)]
        if inner:
            place = place[data.draw(st.sampled_from(inner))]
    if keys := _keys(place):
        place[data.draw(st.sampled_from(keys))] = data.draw(ANYTHING)
    _read_or_refuse(READERS[kind], json.dumps(document).encode())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_document_or_are_refused(data: bytes) -> None:
    for read in READERS.values():
        _read_or_refuse(read, data)


def _keys(place: Any) -> list[Any]:
    return list(place) if isinstance(place, dict) else list(range(len(place)))


def _read_or_refuse(
    reader: Callable[[bytes], Manifest | Index | Config], data: bytes
) -> None:
    try:
        read = reader(data)
    except DocumentError as refused:
        assert len(str(refused).splitlines()) == 3
        return
    # What was understood is written so that everybody understands the same.
    assert reader(read.to_bytes()) == read
