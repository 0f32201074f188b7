"""The registry's files: what a kill leaves, what the garbage collection removes."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from labkit.image import Digest
from labkit.registry.server import uploads
from labkit.registry.server.garbage import collect
from labkit.registry.server.routes import Registry
from labkit.registry.server.storage import Storage
from tests.unit.registry.test_endpoints import Client, manifest

pytestmark = pytest.mark.usefixtures("host_directory")
INSIDE = {"blobs", "repositories", "unfinished", "lock"}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


@pytest.fixture
def ask(storage: Storage) -> Client:
    client = Client(Registry(storage))
    client.push("app", b"")
    return client


def blobs(storage: Storage) -> set[str]:
    return {place.name for place in storage.root.glob("blobs/*/*")}


def test_what_manifests_need_is_kept(ask: Client, storage: Storage) -> None:
    layer, lost = ask.push("app", b"layer"), ask.push("app", b"lost")
    image = ask.push_manifest("app/manifests/1", manifest(b"layer"))
    assert collect(storage, young_s=0).blobs == 1
    assert lost.encoded not in blobs(storage)
    assert {layer.encoded, Digest(image).encoded} <= blobs(storage)
    assert ask("GET /v2/app/manifests/1")[0] == 200


def test_young_links_are_kept_for_a_push_that_is_under_way(
    ask: Client, storage: Storage
) -> None:
    fresh = ask.push("app", b"pushed just now")
    assert collect(storage).links == 0
    assert fresh.encoded in blobs(storage)


def test_a_link_becomes_young_when_somebody_asks_whether_it_is_there(
    ask: Client, storage: Storage
) -> None:
    digest = ask.push("app", b"old")
    os.utime(storage.root / f"repositories/app/_blobs/sha256/{digest.encoded}", (0, 0))
    assert ask(f"HEAD /v2/app/blobs/{digest}")[0] == 200
    assert collect(storage, young_s=60).links == 0


def test_a_deleted_image_is_collected_but_for_what_others_share(
    ask: Client, storage: Storage
) -> None:
    ask.push("app", b"own")
    ask.push("app", b"shared")
    image = ask.push_manifest("app/manifests/1", manifest(b"own", b"shared"))
    ask(f"POST /v2/other/blobs/uploads/?mount={Digest.of(b'shared')}&from=app")
    ask(f"POST /v2/other/blobs/uploads/?mount={Digest.of(b'')}&from=app")
    ask.push_manifest("other/manifests/1", manifest(b"shared"))
    ask(f"DELETE /v2/app/manifests/{image}")
    collect(storage, young_s=0)
    assert Digest.of(b"own").encoded not in blobs(storage)
    assert ask(f"GET /v2/other/blobs/{Digest.of(b'shared')}")[2] == b"shared"


def test_an_upload_that_nobody_went_on_with_is_forgotten(
    ask: Client, storage: Storage
) -> None:
    where = ask("POST /v2/app/blobs/uploads/")[1]["Location"]
    os.utime(storage.root / f"repositories/app/_uploads/{where[-32:]}", (0, 0))
    uploads.forget_stale(storage.repository("app"))
    assert ask(f"GET {where}")[0] == 404


def test_another_process_finishes_what_a_killed_one_began(storage: Storage) -> None:
    where = Client(Registry(storage))("POST /v2/app/blobs/uploads/")[1]["Location"]
    Client(Registry(storage))(f"PATCH {where}", b"abc")
    after = Client(Registry(Storage(storage.root)))
    digest = Digest.of(b"abcdef")
    assert after(f"PUT {where}?digest={digest}", b"def", content_range="3-5")[0] == 201
    assert after(f"GET /v2/app/blobs/{digest}")[2] == b"abcdef"


class Process:
    """A registry as a process of its own, to be killed."""

    def __init__(self, folder: Path) -> None:
        words = ["-m", "labkit", "registry", "serve", "--listen", "127.0.0.1:0"]
        self._process = subprocess.Popen(
            [sys.executable, *words, "--storage", folder],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr
        found = re.search(r"127\.0\.0\.1:\d+", self._process.stderr.readline())
        assert found
        self.client = http.client.HTTPConnection(found[0], timeout=5)

    def kill(self, number: int = signal.SIGKILL) -> int:
        self._process.send_signal(number)
        self.client.close()
        self._process.communicate()
        return self._process.returncode

    def __call__(self, line: str, body: bytes = b"") -> http.client.HTTPResponse:
        self.client.request(*line.split(" ", 1), body)
        answer = self.client.getresponse()
        answer.read()
        return answer


def test_kill_9_in_the_middle_of_a_push_loses_nothing(tmp_path: Path) -> None:
    data = os.urandom(2_000_000)
    digest = Digest.of(data)
    first = Process(tmp_path)
    where = first("POST /v2/app/blobs/uploads/").headers["Location"]
    first.client.putrequest("PATCH", where)
    first.client.putheader("Content-Length", str(len(data)))
    first.client.endheaders(data[:1_000_000])
    first.kill()
    second = Process(tmp_path)
    said = second(f"GET {where}").headers["Range"]
    there = int(said.partition("-")[2]) + 1 if said != "0-0" else 0
    assert not list(tmp_path.glob("blobs/*/*"))
    assert second(f"PUT {where}?digest={digest}", data[there:]).status == 201
    document = {"schemaVersion": 2, "layers": [{"digest": digest, "size": len(data)}]}
    assert (
        second("PUT /v2/app/manifests/1", json.dumps(document).encode()).status == 201
    )
    second.kill()
    third = Process(tmp_path)
    assert third("GET /v2/app/manifests/1").status == 200
    assert (tmp_path / "blobs/sha256" / digest.encoded).read_bytes() == data
    assert third.kill(signal.SIGTERM) == 0


def test_images_are_whole_that_were_pushed_while_garbage_was_collected(
    ask: Client, storage: Storage
) -> None:
    over = threading.Event()

    def collect_again_and_again() -> None:
        while not over.is_set():
            collect(storage, young_s=60)

    collector = threading.Thread(target=collect_again_and_again)
    collector.start()
    try:
        for number in range(20):
            layer = f"layer {number}".encode()
            for _ in range(2):  # deleted, collected perhaps, and pushed again
                digest = ask.push("app", layer)
                image = ask.push_manifest(f"app/manifests/{number}", manifest(layer))
                ask(f"DELETE /v2/app/blobs/{digest}")
                ask(f"DELETE /v2/app/manifests/{image}")
            ask.push("app", layer)
            ask.push_manifest(f"app/manifests/{number}", manifest(layer))
    finally:
        over.set()
        collector.join()
    for number in range(20):
        layer = f"layer {number}".encode()
        assert ask(f"GET /v2/app/manifests/{number}")[0] == 200
        assert ask(f"GET /v2/app/blobs/{Digest.of(layer)}")[2] == layer
