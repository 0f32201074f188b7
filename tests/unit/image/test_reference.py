"""Names of images, with every default visible."""

from __future__ import annotations

import pytest

from labkit.errors import DocumentError
from labkit.image import Digest, Reference

SHA = "sha256:" + "a" * 64

# as typed -> everything, and the shortest form that means the same
READ = {
    "alpine": ("docker.io/library/alpine:latest", "alpine:latest"),
    "nginx:1.13": ("docker.io/library/nginx:1.13", "nginx:1.13"),
    "me/app": ("docker.io/me/app:latest", "me/app:latest"),
    "docker.io/alpine": ("docker.io/library/alpine:latest", "alpine:latest"),
    "index.docker.io/a/b:c": ("docker.io/a/b:c", "a/b:c"),
    "localhost/app": ("localhost/app:latest", "localhost/app:latest"),
    "localhost:5000/app": ("localhost:5000/app:latest", "localhost:5000/app:latest"),
    "127.0.0.1:5000/a:1": ("127.0.0.1:5000/a:1", "127.0.0.1:5000/a:1"),
    "[::1]:5000/a": ("[::1]:5000/a:latest", "[::1]:5000/a:latest"),
    "[fe80::1]/a": ("[fe80::1]/a:latest", "[fe80::1]/a:latest"),
    "Lab/app": ("Lab/app:latest", "Lab/app:latest"),
    "ghcr.io/a/b/c": ("ghcr.io/a/b/c:latest", "ghcr.io/a/b/c:latest"),
    "a__b/c.d-e---f:T_1.x": ("docker.io/a__b/c.d-e---f:T_1.x", "a__b/c.d-e---f:T_1.x"),
    f"alpine@{SHA}": (f"docker.io/library/alpine@{SHA}", f"alpine@{SHA}"),
    f"a.b/c:1@{SHA}": (f"a.b/c:1@{SHA}", f"a.b/c:1@{SHA}"),
}

# as typed -> a word of the explanation
REFUSED = {
    "": "repository",
    "Alpine": "upper-case",
    "alpine:": "tag",
    "alpine:la test": "tag",
    "alpine:" + "t" * 129: "128",
    "alpine@": "digest",
    "alpine@sha256:abc": "digest",
    "alpine@md5:" + "a" * 32: "digest",
    "alpine@" + SHA.upper(): "digest",
    "a//b": "repository",
    "/a": "repository",
    "a/": "repository",
    "-a": "repository",
    "a..b": "repository",
    "a/../b": "repository",
    "../a": "registry",
    " alpine": "repository",
    "alpine\n": "repository",
    "http://a.b/c": "registry",
    "localhost:999999/a": "registry",
    "localhost:65536/a": "registry",
    "[:::]/a": "registry",
    "[::1]:65536/a": "registry",
    "a.b/" + "c" * 255: "255",
    "f" * 64: "id",
    "a\x00b": "repository",
    "\u0430lpine": "repository",
}


@pytest.mark.parametrize("text", READ)
def test_every_default_is_visible(text: str) -> None:
    reference = Reference.parse(text)
    assert (str(reference), reference.familiar) == READ[text]


@pytest.mark.parametrize("text", READ)
def test_both_forms_mean_the_same(text: str) -> None:
    reference = Reference.parse(text)
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(reference.familiar) == reference


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_name_is_explained(text: str) -> None:
    with pytest.raises(DocumentError) as refused:
        Reference.parse(text)
    lines = str(refused.value).splitlines()
    assert len(lines) == 3
    assert REFUSED[text] in str(refused.value)


def test_a_digest_names_its_algorithm() -> None:
    assert Digest.of(b"").short == "e3b0c44298fc"
    assert Digest.of(b"", "sha512").algorithm == "sha512"
    assert Digest(SHA).encoded == "a" * 64
