"""Exercise 12, second part: a tag means again what it meant before."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus

from labkit.course.attempt import attempt, must_be_attempted
from labkit.course.task import Case, Level, Mistake, Question, Task
from labkit.course.tasks.own_registry import OwnRegistry, serving
from labkit.course.verdict import Failed, Saw
from labkit.image import media_types
from labkit.image.digest import Digest
from labkit.linux.syscalls import Linux

RollBack = Callable[[str, str, str, str], None]


def check_roll_back(roll_back: RollBack, case: Case) -> Saw:
    """Two releases under one tag; the second is to go, and both are to stay."""
    must_be_attempted(roll_back)
    app, tag = case.seed.name(), case.seed.name()
    with serving(case) as registry:
        place = f"/v2/{app}/manifests"
        good, bad = (_release(registry, app, tag, case.seed.secret()) for _ in range(2))

        def once(linux: Linux) -> None:
            roll_back(registry.url, app, tag, good)

        with attempt(once):
            means = registry.send("GET", f"{place}/{tag}")
        if means.status == HTTPStatus.NOT_FOUND:
            raise Failed("the tag is gone: whoever pulls it gets nothing at all")
        _must_be(Digest.of(means.body), good, bad)
        if registry.send("GET", f"{place}/{bad}").status != HTTPStatus.OK:
            raise Failed(
                "the broken release is gone: nobody can find out any more what was "
                "wrong with it. A tag can be moved without deleting anything"
            )
    return Saw("the tag means the good release again, and both are still there")


def _release(registry: OwnRegistry, app: str, tag: str, text: str) -> Digest:
    config, layer = json.dumps({"comment": text}).encode(), text.encode()
    for blob in (config, layer):
        upload = f"/v2/{app}/blobs/uploads/?digest={Digest.of(blob)}"
        registry.send("POST", upload, blob)
    document = {
        "schemaVersion": 2,
        "mediaType": media_types.DOCKER_MANIFEST,
        "config": _descriptor(config, media_types.DOCKER_CONFIG),
        "layers": [_descriptor(layer, media_types.DOCKER_LAYER_GZIP)],
    }
    # Written as nobody's program would: who writes it again makes other bytes.
    manifest = json.dumps(document, indent=5).encode()
    headers = {"Content-Type": media_types.DOCKER_MANIFEST}
    registry.send("PUT", f"/v2/{app}/manifests/{tag}", manifest, headers)
    return Digest.of(manifest)


def _descriptor(data: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": Digest.of(data), "size": len(data)}


def _must_be(found: Digest, good: Digest, bad: Digest) -> None:
    if found == bad:
        raise Failed(
            "the tag still means the broken release. Which request says what a tag "
            "means?"
        )
    if found != good:
        raise Failed(
            "the tag means an image that nobody has released: other bytes have another "
            "digest, even if they say the same"
        )


ROLL_BACK = Task(
    id="12.2",
    sentence="Roll a release back: let a tag mean an earlier image again.",
    points=2,
    level=Level.EASY,
    size="about four lines",
    question=Question(
        "How many layers travel when you roll back?",
        ("none", "those that differ", "all"),
    ),
    hints=(
        "Two requests in the chapter, under 'Roll back'. What does each of them carry?",
        "GET the manifest by its digest, PUT the same bytes under the tag. A PUT says "
        "in Content-Type what it brings; the answer to GET has said it.",
        'place = f"{registry}/v2/{repository}/manifests"; urlopen(f"{place}/{digest}") '
        'has .read() and .headers["Content-Type"]; Request(f"{place}/{tag}", data, '
        'headers, method="PUT").',
    ),
    functions=("roll_back",),
    check=check_roll_back,
    mistakes=(
        Mistake(
            "writes the manifest anew",
            """
def roll_back(registry, repository, tag, digest):
    place = f"{registry}/v2/{repository}/manifests"
    with urlopen(f"{place}/{digest}") as answer:
        manifest, kind = json.load(answer), answer.headers["Content-Type"]
    data = json.dumps(manifest).encode()
    urlopen(Request(f"{place}/{tag}", data, {"Content-Type": kind}, method="PUT"))
""",
            "an image that nobody has released",
        ),
        Mistake(
            "deletes the broken release first",
            """
def roll_back(registry, repository, tag, digest):
    place = f"{registry}/v2/{repository}/manifests"
    with urlopen(f"{place}/{tag}") as answer:
        broken = answer.headers["Docker-Content-Digest"]
    urlopen(Request(f"{place}/{broken}", method="DELETE"))
    with urlopen(f"{place}/{digest}") as answer:
        data, kind = answer.read(), answer.headers["Content-Type"]
    urlopen(Request(f"{place}/{tag}", data, {"Content-Type": kind}, method="PUT"))
""",
            "the broken release is gone",
        ),
        Mistake(
            "deletes the tag",
            """
def roll_back(registry, repository, tag, digest):
    place = f"{registry}/v2/{repository}/manifests"
    urlopen(Request(f"{place}/{tag}", method="DELETE"))
""",
            "the tag is gone",
        ),
        Mistake(
            "puts the manifest under its own digest",
            """
def roll_back(registry, repository, tag, digest):
    place = f"{registry}/v2/{repository}/manifests"
    with urlopen(f"{place}/{digest}") as answer:
        data, kind = answer.read(), answer.headers["Content-Type"]
    urlopen(Request(f"{place}/{digest}", data, {"Content-Type": kind}, method="PUT"))
""",
            "the tag still means the broken release",
        ),
        Mistake(
            "says nothing of what it brings",
            """
def roll_back(registry, repository, tag, digest):
    place = f"{registry}/v2/{repository}/manifests"
    with urlopen(f"{place}/{digest}") as answer:
        data = answer.read()
    urlopen(Request(f"{place}/{tag}", data, method="PUT"))
""",
            "HTTP Error 4",
        ),
    ),
)
