"""Registries that lie, stall, break off and refuse: the store stays whole, always.

Each bad day ends in one of two ways: the image is there, or a clear error is. And the
next try, with a registry in its right mind, works.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import DocumentError, LabError, RegistryError
from labkit.image import Descriptor, Digest, DigestMismatch, Index, Reference, Store
from labkit.image.descriptor import Platform
from labkit.registry.client.credentials import Login
from labkit.registry.client.progress import Moved, Phase
from labkit.registry.client.pull import Wanted, pull
from labkit.registry.client.push import push
from labkit.registry.client.session import Terms
from tests.support.registries import (
    HURRY,
    IN_A_HURRY,
    Act,
    Bad,
    Spoiled,
    answers,
    bad,
    breaks_off,
    changes,
    hangs_up,
    name_of,
    put_image,
    stalls,
)

pytestmark = pytest.mark.usefixtures("host_directory")
INSIDE = {"here", "there", "registry", "elsewhere"}
LAYER = os.urandom(3 << 19)
LAYER_PATH = f"GET /v2/app/blobs/{Digest.of(LAYER)}"
MANIFEST_PATH = "GET /v2/app/manifests/"
PASSWORD = Terms(patience=HURRY, login=Login("ada", "secret"))
LISTENING = Terms(patience=replace(HURRY, silence_s=0.5), login=Login())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Bad]:
    with bad(tmp_path / "registry") as server:
        yield server


@pytest.fixture
def image(server: Bad, here: Store) -> Descriptor:
    """An image in the registry, with one layer of one and a half mebibytes."""
    image = put_image(here, name_of(server), (LAYER,))
    push(name_of(server), here, IN_A_HURRY)
    server.seen.clear()
    return image


def is_whole(store: Store, name: Reference, image: Descriptor) -> bool:
    """Say whether the image is there, byte for byte, and nothing half done is left."""
    digest = Digest.of(LAYER)
    layer = Descriptor("", digest, len(LAYER))
    return (
        store.resolve(name).digest == image.digest
        and store.open(layer).read() == LAYER
        and not os.listdir(f"{store.root}/ingest")
    )


def next_try_works(server: Bad, there: Store, image: Descriptor) -> bool:
    server.spoils.clear()
    pull(name_of(server), there, terms=IN_A_HURRY)
    return is_whole(there, name_of(server), image)


@pytest.mark.parametrize(
    "act",
    [
        hangs_up,
        answers(500, b"oh"),
        answers(502, b"<html>bad gateway</html>"),
        answers(503, b"", Retry_After="0"),
        answers(429, b'{"errors":[{"code":"TOOMANYREQUESTS"}]}', Retry_After="0"),
        answers(429, b"", Retry_After="Thu, 01 Jan 1970 00:00:00 GMT"),
        breaks_off(1000),
    ],
)
@pytest.mark.parametrize("where", ["/v2/app/manifests/", "/v2/app/blobs/"])
def test_what_passes_is_waited_for(
    server: Bad, there: Store, image: Descriptor, act: Act, where: str
) -> None:
    server.spoil(f"GET {where}", act, times=2)
    pull(name_of(server), there, terms=IN_A_HURRY)
    assert is_whole(there, name_of(server), image)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (hangs_up, "trying again didn't help"),
        (answers(500, b"oh"), "500 oh"),
        (answers(502, b"<html>bad gateway</html>"), "502 (a web page)"),
        (answers(429, b""), "you asked too often"),
    ],
)
@pytest.mark.parametrize("where", ["/v2/app/manifests/", "/v2/app/blobs/"])
def test_what_does_not_pass_is_said(
    server: Bad, there: Store, image: Descriptor, act: Act, said: str, where: str
) -> None:
    server.spoil(f"GET {where}", act, times=99)
    with pytest.raises(RegistryError) as refused:
        pull(name_of(server), there, terms=IN_A_HURRY)
    assert said in str(refused.value).replace("\n", " ")
    assert not there.references()
    assert next_try_works(server, there, image)


def test_a_broken_blob_goes_on_where_it_broke(
    server: Bad, there: Store, image: Descriptor
) -> None:
    told: list[Moved] = []
    server.spoil(LAYER_PATH, breaks_off(1 << 20))
    pull(name_of(server), there, terms=IN_A_HURRY, subscriber=told.append)
    _, second = server.asked(LAYER_PATH)
    assert second["Range"] == f"bytes={1 << 20}-"
    assert Phase.AGAIN in {m.phase for m in told}
    assert is_whole(there, name_of(server), image)


def test_the_next_pull_goes_on_where_the_last_one_broke(
    server: Bad, there: Store, image: Descriptor
) -> None:
    server.spoil(LAYER_PATH, breaks_off(1 << 20))
    server.spoil(LAYER_PATH, answers(404), times=9)
    with pytest.raises(RegistryError, match="404"):
        pull(name_of(server), there, terms=IN_A_HURRY)
    server.seen.clear()
    assert next_try_works(server, there, image)
    assert server.asked(LAYER_PATH)[0]["Range"] == f"bytes={1 << 20}-"


def test_a_registry_that_knows_no_ranges_sends_it_all_again(
    server: Bad, there: Store, image: Descriptor
) -> None:
    def whole(connection: Spoiled) -> None:
        del connection.headers["Range"]
        connection._exchange()

    server.spoil(LAYER_PATH, breaks_off(1 << 20))
    server.spoil(LAYER_PATH, whole)
    pull(name_of(server), there, terms=IN_A_HURRY)
    assert is_whole(there, name_of(server), image)


def test_a_stalled_blob_is_asked_for_again(
    server: Bad, there: Store, image: Descriptor
) -> None:
    server.spoil(LAYER_PATH, stalls(1000))
    pull(name_of(server), there, terms=LISTENING)
    assert is_whole(there, name_of(server), image)


def test_a_registry_that_never_says_a_word_is_given_up(
    server: Bad, there: Store, image: Descriptor
) -> None:
    server.spoil(MANIFEST_PATH, stalls(0), times=9)
    with pytest.raises(RegistryError, match="no answer|broke off|timed out"):
        pull(name_of(server), there, terms=LISTENING)
    assert next_try_works(server, there, image)


@pytest.mark.parametrize(
    "how",
    [
        lambda data: bytes(len(data)),
        lambda data: data[:-1] + b"!",
        lambda data: data[:-1],
        lambda data: data + b"!",
        lambda data: b"",
    ],
)
def test_other_bytes_than_the_layers_are_refused(
    server: Bad, there: Store, image: Descriptor, how: object
) -> None:
    server.spoil(LAYER_PATH, changes(how), times=9)  # type: ignore[arg-type]
    with pytest.raises(LabError) as refused:
        pull(name_of(server), there, terms=IN_A_HURRY)
    assert isinstance(refused.value, DigestMismatch | RegistryError)
    assert not there.has(Digest.of(LAYER))
    assert next_try_works(server, there, image)


def test_more_bytes_than_announced_are_not_read(
    server: Bad, there: Store, image: Descriptor
) -> None:
    def endless(connection: Spoiled) -> None:
        connection.send_response(200)
        connection.end_headers()
        for _ in range(1000):
            connection.wfile.write(bytes(1 << 20))

    server.spoil(LAYER_PATH, endless, times=9)
    with pytest.raises(DigestMismatch):
        pull(name_of(server), there, terms=IN_A_HURRY)
    assert not there.has(Digest.of(LAYER))
    assert next_try_works(server, there, image)


def test_an_early_part_that_was_wrong_is_fetched_again(
    server: Bad, there: Store, image: Descriptor
) -> None:
    def lie(connection: Spoiled) -> None:
        status, headers, body = connection.truth()
        connection.say(status, headers, bytes(1 << 20), len(body))

    server.spoil(LAYER_PATH, lie)
    server.spoil(LAYER_PATH, answers(404), times=9)
    with pytest.raises(RegistryError):
        pull(name_of(server), there, terms=IN_A_HURRY)
    assert next_try_works(server, there, image)


@pytest.mark.parametrize(
    "act",
    [
        answers(206, b"xyz", Content_Range="bytes 9000000-9000002/9000003"),
        answers(206, b"xyz", Content_Range="nonsense"),
        answers(206, b"xyz"),
    ],
)
def test_another_part_than_was_asked_for_is_refused(
    server: Bad, there: Store, image: Descriptor, act: Act
) -> None:
    server.spoil(LAYER_PATH, breaks_off(1 << 20))
    server.spoil(LAYER_PATH, act, times=9)
    with pytest.raises(RegistryError, match="Content-Range"):
        pull(name_of(server), there, terms=IN_A_HURRY)
    assert next_try_works(server, there, image)


def as_it_is(rest: bytes) -> Act:
    """Answer with these bytes behind the first line."""

    def act(connection: Spoiled) -> None:
        connection.wfile.write(b"HTTP/1.1 200 OK\r\n" + rest)
        connection.close_connection = True

    return act


def document(**more: object) -> bytes:
    return json.dumps({"schemaVersion": 2, **more}).encode()


KIND = "application/vnd.oci.image.manifest.v1+json"
BLOB = {"mediaType": "x/y", "digest": Digest.of(b""), "size": 0}


@pytest.mark.parametrize(
    "act",
    [
        answers(200, b"<html>please log in</html>", Content_Type="text/html"),
        answers(200, b"", Content_Type=KIND),
        answers(200, b"{", Content_Type=KIND),
        answers(200, b"[" * 100_000, Content_Type=KIND),
        answers(200, bytes(5 << 20), Content_Type=KIND),
        answers(200, document(config=BLOB), Content_Type="text/plain"),
        answers(200, document(config=BLOB, mediaType="a/b"), Content_Type=KIND),
        answers(200, document(config=BLOB, layers=[BLOB] * 501), Content_Type=KIND),
        answers(200, document(config={**BLOB, "size": -1}), Content_Type=KIND),
        answers(200, document(config={**BLOB, "digest": "md5:1"}), Content_Type=KIND),
        answers(200, document(config=BLOB, manifests=[BLOB]), Content_Type=KIND),
        answers(200, document(config=BLOB)[:-1] + b',"config":{}}', Content_Type=KIND),
        as_it_is(b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabc"),
        as_it_is(b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\nabc"),
        as_it_is(b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        answers(
            200,
            document(config=BLOB),
            Content_Type=KIND,
            Docker_Content_Digest=Digest.of(b"other"),
        ),
        answers(
            200,
            document(config=BLOB),
            Content_Type=KIND,
            Docker_Content_Digest="sha256:nonsense",
        ),
    ],
)
def test_what_is_no_manifest_is_refused(
    server: Bad, there: Store, image: Descriptor, act: Act
) -> None:
    server.spoil(MANIFEST_PATH, act, times=9)
    with pytest.raises((RegistryError, DocumentError)):
        pull(name_of(server), there, terms=IN_A_HURRY)
    assert list(there.all()) == []
    assert next_try_works(server, there, image)


def test_another_manifest_than_the_digest_is_refused(
    server: Bad, there: Store, image: Descriptor
) -> None:
    by_digest = replace(name_of(server), tag=None, digest=image.digest)
    server.spoil(MANIFEST_PATH, changes(lambda data: data + b" "), times=9)
    with pytest.raises(DigestMismatch):
        pull(by_digest, there, terms=IN_A_HURRY)
    assert list(there.all()) == []


def index_of(*manifests: Descriptor) -> Index:
    return Index(tuple(replace(m, platform=Platform.here()) for m in manifests))


def test_indexes_in_indexes_come_to_an_end(server: Bad, there: Store) -> None:
    # A cycle can't be made with digests that are right: only a long way down can.
    repository = server.registry.storage.repository("app")
    blob = Descriptor(KIND, Digest.of(b""), 0)
    for _ in range(50):
        index = index_of(blob)
        blob = Descriptor.of(index.to_bytes(), index.media_type)
        server.registry.storage.write(
            server.registry.storage.blob(blob.digest), index.to_bytes()
        )
        repository.manifests.add_text(blob.digest, index.media_type)
    repository.tag("1", blob.digest)
    with pytest.raises(DocumentError, match="an index in an index"):
        pull(name_of(server), there, Wanted(all_platforms=True), IN_A_HURRY)
    assert len(server.asked(MANIFEST_PATH)) < 9


def test_an_index_that_names_the_same_ones_again_and_again_is_fetched_once(
    server: Bad, there: Store
) -> None:
    # A hundred times a hundred times a hundred ways lead down.
    storage, index = server.registry.storage, Index(())
    for _ in range(3):
        data = index.to_bytes()
        blob = Descriptor.of(data, index.media_type)
        storage.write(storage.blob(blob.digest), data)
        storage.repository("app").manifests.add_text(blob.digest, index.media_type)
        storage.repository("app").tag("1", blob.digest)
        index = index_of(*(blob,) * 100)
    pull(name_of(server), there, Wanted(all_platforms=True), IN_A_HURRY)
    assert len(server.asked(MANIFEST_PATH)) == 3


def test_a_manifest_of_another_size_than_its_index_says_is_refused(
    server: Bad, here: Store, there: Store, image: Descriptor
) -> None:
    index = index_of(replace(image, size=image.size + 1))
    name = name_of(server, "app:index")
    here.tag(name, here.write(index.to_bytes(), index.media_type))
    repository = server.registry.storage.repository("app")
    data = index.to_bytes()
    storage = server.registry.storage
    storage.write(storage.blob(Digest.of(data)), data)
    repository.manifests.add_text(Digest.of(data), index.media_type)
    repository.tag("index", Digest.of(data))
    with pytest.raises(DocumentError, match="bytes, not"):
        pull(name, there, terms=IN_A_HURRY)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_gets_no_password(
    server: Bad, there: Store, image: Descriptor, tmp_path: Path, status: int
) -> None:
    with bad(tmp_path / "elsewhere") as elsewhere:
        target = f"{elsewhere.url}/signed?key=1"
        elsewhere.spoil("GET /signed", lambda c: c.say(200, {}, LAYER))
        # The registry wants a password, and the other host would like one, too.
        wants = answers(401, b"", WWW_Authenticate='Basic realm="x"')
        server.spoil(LAYER_PATH, wants)
        server.spoil(LAYER_PATH, answers(status, b"", Location=target))
        pull(name_of(server), there, terms=PASSWORD)
        assert is_whole(there, name_of(server), image)
        assert "Authorization" in server.asked(LAYER_PATH)[-1]
        assert "Authorization" not in elsewhere.asked("GET /signed")[0]


def test_another_host_that_asks_for_a_password_gets_none(
    server: Bad, there: Store, image: Descriptor, tmp_path: Path
) -> None:
    with bad(tmp_path / "elsewhere") as elsewhere:
        wants = answers(401, b"", WWW_Authenticate='Basic realm="x"')
        elsewhere.spoil("GET /signed", wants, times=9)
        to_there = answers(307, b"", Location=f"{elsewhere.url}/signed")
        server.spoil(LAYER_PATH, to_there, times=9)
        with pytest.raises(RegistryError, match="401"):
            pull(name_of(server), there, terms=PASSWORD)
        seen = elsewhere.asked("GET /signed")
        assert [h for h in seen if "Authorization" in h] == []
    assert next_try_works(server, there, image)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://x/", "//[", "/again"])
def test_a_redirect_to_nowhere_is_refused(
    server: Bad, there: Store, image: Descriptor, target: str
) -> None:
    server.spoil(LAYER_PATH, answers(307, b"", Location=target), times=9)
    server.spoil("/again", answers(307, b"", Location="/again"), times=99)
    with pytest.raises(RegistryError):
        pull(name_of(server), there, terms=IN_A_HURRY)
    assert next_try_works(server, there, image)


def test_a_token_service_over_plain_http_elsewhere_gets_no_password(
    server: Bad, there: Store, image: Descriptor
) -> None:
    words = 'Bearer realm="http://token.example/t",service="s"'
    server.spoil(MANIFEST_PATH, answers(401, b"", WWW_Authenticate=words), times=9)
    with pytest.raises(RegistryError, match=r"tokens from http://token\.example"):
        pull(name_of(server), there, terms=PASSWORD)


@pytest.mark.parametrize(
    "act",
    [
        answers(200, b"<html>"),
        answers(200, b"[]"),
        answers(200, b'{"token": 7}'),
        answers(200, b'{"token": "a\\nb"}'),
        answers(200, b'{"token": "t", "expires_in": "soon"}'),
        answers(200, b"[" * 100_000),
        answers(500, b""),
        answers(401, b'{"details": "incorrect username or password"}'),
        hangs_up,
    ],
)
def test_a_token_service_out_of_its_mind_is_named(
    server: Bad, there: Store, image: Descriptor, act: Act
) -> None:
    words = f'Bearer realm="{server.url}/token",service="s"'
    server.spoil(MANIFEST_PATH, answers(401, b"", WWW_Authenticate=words), times=9)
    server.spoil("GET /token", act, times=9)
    with pytest.raises(RegistryError):
        pull(name_of(server), there, terms=PASSWORD)
    assert next_try_works(server, there, image)


def test_an_identity_token_is_changed_for_a_token(
    server: Bad, there: Store, image: Descriptor
) -> None:
    words = f'Bearer realm="{server.url}/token",service="s"'
    server.spoil(MANIFEST_PATH, answers(401, b"", WWW_Authenticate=words))
    forms: list[bytes] = []

    def give(connection: Spoiled) -> None:
        forms.append(connection.rfile.read(int(connection.headers["Content-Length"])))
        connection.say(200, {}, b'{"access_token": "fresh"}')

    server.spoil("POST /token", give)
    login = Login("<token>", "", "identity")
    pull(name_of(server), there, terms=replace(PASSWORD, login=login))
    assert b"grant_type=refresh_token&refresh_token=identity" in forms[0]
    assert server.asked(MANIFEST_PATH)[1]["Authorization"] == "Bearer fresh"


def test_a_wait_that_is_too_long_is_left_to_the_user(
    server: Bad, there: Store, image: Descriptor
) -> None:
    server.spoil(MANIFEST_PATH, answers(429, b"", Retry_After="3600"))
    with pytest.raises(RegistryError, match="wait 3600 s"):
        pull(name_of(server), there, terms=IN_A_HURRY)


def test_who_listens_nowhere_is_named(there: Store) -> None:
    name = Reference.parse("127.0.0.1:1/app")
    with pytest.raises(RegistryError, match=r"/v2/: Failed .* Connection refused"):
        pull(name, there, terms=IN_A_HURRY)


@pytest.mark.parametrize(
    "act",
    [
        hangs_up,
        answers(500, b"oh"),
        answers(429, b"", Retry_After="0"),
        answers(404, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}'),
    ],
)
@pytest.mark.parametrize("line", ["HEAD", "POST", "PUT /v2/app/manifests"])
def test_a_push_is_tried_again(
    server: Bad, here: Store, there: Store, act: Act, line: str
) -> None:
    image = put_image(here, name_of(server), (LAYER,))
    server.spoil(line, act, times=2)
    try:
        push(name_of(server), here, IN_A_HURRY)
    except RegistryError as refused:
        assert "404" in str(refused)
        server.spoils.clear()
        push(name_of(server), here, IN_A_HURRY)
    assert next_try_works(server, there, image)


@pytest.mark.parametrize("chunk_bytes", [0, 1 << 20])
@pytest.mark.parametrize("times", [1, 2])
def test_an_upload_that_breaks_goes_on_or_begins_again(
    server: Bad, here: Store, there: Store, chunk_bytes: int, times: int
) -> None:
    image = put_image(here, name_of(server), (LAYER,))

    def takes_some(connection: Spoiled) -> None:
        # Half a mebibyte is read and kept, then the line is dead.
        taken = min(int(connection.headers["Content-Length"]), 1 << 19)
        connection.headers.replace_header("Content-Length", str(taken))
        if "Content-Range" in connection.headers:
            start = int(connection.headers["Content-Range"].partition("-")[0])
            end = start + taken - 1
            connection.headers.replace_header("Content-Range", f"{start}-{end}")
        request = connection._request(connection._body())
        if "digest" in request.query:
            request = replace(request, method="PATCH")
        connection.server.registry.answer(request)
        connection.close_connection = True

    line = "PATCH" if chunk_bytes else "PUT /v2/app/blobs"
    server.spoil(line, takes_some, times=times)
    push(name_of(server), here, IN_A_HURRY, chunk_bytes=chunk_bytes)
    assert next_try_works(server, there, image)


def test_an_upload_that_the_registry_has_forgotten_begins_again(
    server: Bad, here: Store, there: Store
) -> None:
    image = put_image(here, name_of(server), (LAYER,))
    server.spoil("PUT /v2/app/blobs", hangs_up)
    server.spoil("GET /v2/app/blobs/uploads", answers(404))
    push(name_of(server), here, IN_A_HURRY)
    assert len(server.asked("POST")) == 3  # config, layer, and the layer once more
    assert next_try_works(server, there, image)


@pytest.mark.parametrize(
    "act",
    [
        answers(403, b'{"errors":[{"code":"\\u001b[2J","message":"a\\n\\u001b[1mb"}]}'),
        answers(403, b"a\x1b[2J\nb\r\n"),
        answers(307, b"", Location="ftp://a\x1b[2Jb"),
        answers(401, b"", WWW_Authenticate='Bearer realm="http://a\x1b[2J.example"'),
    ],
)
def test_what_a_registry_says_stays_in_its_line_and_moves_no_cursor(
    server: Bad, there: Store, image: Descriptor, act: Act
) -> None:
    server.spoil(MANIFEST_PATH, act)
    with pytest.raises(RegistryError) as refused:
        pull(name_of(server), there, terms=PASSWORD)
    lines = str(refused.value).splitlines()
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


def test_a_damaged_store_is_not_pushed(server: Bad, here: Store) -> None:
    put_image(here, name_of(server), (LAYER,))
    path = here.path(Digest.of(LAYER))
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        file.write(b"!")
    with pytest.raises(LabError):
        push(name_of(server), here, IN_A_HURRY)
    assert server.registry.storage.repository("app").tags() == []


def test_two_pulls_of_one_image_at_once_fetch_it_once(
    server: Bad, there: Store, image: Descriptor
) -> None:
    problems: list[BaseException] = []

    def one() -> None:
        try:
            pull(name_of(server), there, terms=IN_A_HURRY)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert is_whole(there, name_of(server), image)
    assert len(server.asked(LAYER_PATH)) == 1


def test_two_processes_pull_one_image_at_once(
    server: Bad, there: Store, image: Descriptor
) -> None:
    argv = [sys.executable, "-c", PULL, str(name_of(server)), there.root]
    both = [subprocess.Popen(argv) for _ in range(2)]
    assert [one.wait(30) for one in both] == [0, 0]
    assert is_whole(there, name_of(server), image)


def test_the_other_blobs_stop_when_one_fails(
    server: Bad, here: Store, there: Store
) -> None:
    layers = tuple(os.urandom(1000) for _ in range(20))
    put_image(here, name_of(server), layers)
    push(name_of(server), here, IN_A_HURRY)
    server.seen.clear()
    server.spoil("GET /v2/app/blobs", answers(403), times=99)
    with pytest.raises(RegistryError, match="403"):
        pull(name_of(server), there, terms=IN_A_HURRY)
    assert len(server.asked("GET /v2/app/blobs")) < 20


def test_ctrl_c_need_not_wait_for_a_registry_that_says_nothing(
    server: Bad, there: Store, image: Descriptor
) -> None:
    reached = threading.Event()

    def silent(connection: Spoiled) -> None:
        breaks_off(100)(connection)
        reached.set()
        connection.server.over.wait(10)

    server.spoil(LAYER_PATH, silent)
    argv = [sys.executable, "-c", PULL, str(name_of(server)), there.root]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE)
    assert reached.wait(20)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=8)[1]
    assert next_try_works(server, there, image)


PULL = """
import sys
from labkit.image import Reference, Store
from labkit.registry.client.pull import pull
pull(Reference.parse(sys.argv[1]), Store(sys.argv[2]))
"""


PUSH = PULL.replace("pull", "push")


def kill_when_it_waits(
    code: str, server: Bad, store: Store, where: str, begin: Act
) -> None:
    """Kill a process while it waits for an answer, or for the rest of one."""
    reached = threading.Event()

    def slow(connection: Spoiled) -> None:
        begin(connection)
        reached.set()
        connection.server.over.wait(10)

    server.spoil(where, slow)
    argv = [sys.executable, "-c", code, str(name_of(server)), store.root]
    process = subprocess.Popen(argv)
    assert reached.wait(20)
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("where", ["/v2/app/manifests", "/v2/app/blobs", LAYER_PATH])
def test_kill_9_in_each_phase_leaves_a_store_that_the_next_pull_completes(
    server: Bad, there: Store, image: Descriptor, where: str
) -> None:
    kill_when_it_waits(PULL, server, there, where, breaks_off(100))
    assert not there.references()
    assert next_try_works(server, there, image)


@pytest.mark.parametrize("where", ["POST", "PUT /v2/app/blobs", "PUT /v2/app/man"])
def test_kill_9_in_each_phase_of_a_push_and_the_next_push_completes_it(
    server: Bad, here: Store, there: Store, where: str
) -> None:
    image = put_image(here, name_of(server), (LAYER,))
    kill_when_it_waits(PUSH, server, here, where, hangs_up)
    assert server.registry.storage.repository("app").tags() == []
    push(name_of(server), here, IN_A_HURRY)
    assert next_try_works(server, there, image)
