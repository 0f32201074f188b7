"""The registry's answers, without a socket: own cases of the conformance program's."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from labkit.image import Digest, media_types
from labkit.registry.server.exchange import Answer, Request
from labkit.registry.server.refusals import Refused
from labkit.registry.server.routes import Registry
from labkit.registry.server.storage import Storage

pytestmark = pytest.mark.usefixtures("host_directory")
INSIDE = {"blobs", "repositories", "unfinished", "lock"}
EMPTY = Digest.of(b"")


class Bytes:
    """A body that is there already."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.ended = False

    def readinto(self, buffer: memoryview) -> int:
        count = self._file.readinto(buffer)
        self.ended = count == 0
        return count


@dataclass
class Client:
    """Asks a registry, and turns a refusal into an answer, as the connection does."""

    registry: Registry

    def __call__(
        self, line: str, body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        method, _, url = line.partition(" ")
        path, _, query = url.partition("?")
        given = {"content-length": str(len(body))}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(
            method, path, parse_qs(query), given, "http://here", Bytes(body)
        )
        try:
            answer = self.registry.answer(request)
        except Refused as refused:
            return refused.status, refused.headers, refused.to_bytes()
        return answer.status, dict(answer.headers), _bytes(answer)

    def push(self, repository: str, data: bytes) -> Digest:
        digest = Digest.of(data)
        line = f"POST /v2/{repository}/blobs/uploads/?digest={digest}"
        assert self(line, data)[0] == HTTPStatus.CREATED
        return digest

    def push_manifest(self, where: str, document: dict[str, object]) -> str:
        line = f"PUT /v2/{where}"
        status, headers, said = self(line, json.dumps(document).encode())
        assert status == HTTPStatus.CREATED, said
        return headers["Docker-Content-Digest"]


def _bytes(answer: Answer) -> bytes:
    if answer.file is None:
        return answer.body
    with answer.file as file:
        file.seek(answer.start)
        return file.read(answer.length)


def manifest(*layers: bytes, **more: object) -> dict[str, object]:
    parts = [
        {"mediaType": media_types.LAYER, "digest": Digest.of(one), "size": len(one)}
        for one in layers
    ]
    config = {"mediaType": media_types.CONFIG, "digest": EMPTY, "size": 0}
    document = {"schemaVersion": 2, "mediaType": media_types.MANIFEST}
    return {**document, "config": config, "layers": parts, **more}


def code(answer: tuple[int, dict[str, str], bytes]) -> str:
    return str(json.loads(answer[2])["errors"][0]["code"])


@pytest.fixture
def ask(tmp_path: Path) -> Client:
    client = Client(Registry(Storage(tmp_path)))
    client.push("app", b"")
    return client


def test_what_was_pushed_is_pulled(ask: Client) -> None:
    digest = ask.push("app", b"some bytes")
    status, headers, body = ask(f"GET /v2/app/blobs/{digest}")
    assert (status, body) == (200, b"some bytes")
    assert headers["Docker-Content-Digest"] == digest


def test_a_blob_belongs_to_the_repositories_that_have_it(ask: Client) -> None:
    digest = ask.push("app", b"mine")
    assert code(ask(f"GET /v2/other/blobs/{digest}")) == "BLOB_UNKNOWN"
    assert ask(f"POST /v2/other/blobs/uploads/?mount={digest}&from=app")[0] == 201
    assert ask(f"GET /v2/other/blobs/{digest}")[2] == b"mine"


def test_a_mount_of_what_is_not_there_begins_an_upload(ask: Client) -> None:
    digest = Digest.of(b"nowhere")
    status, headers, _ = ask(f"POST /v2/other/blobs/uploads/?mount={digest}&from=app")
    assert status == 202
    assert "/v2/other/blobs/uploads/" in headers["Location"]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_chunks_make_a_blob(ask: Client, algorithm: str) -> None:
    digest = Digest.of(b"abcdef", algorithm)
    begun = ask(f"POST /v2/app/blobs/uploads/?digest-algorithm={algorithm}")
    where = begun[1]["Location"]
    assert ask(f"PATCH {where}", b"abc", content_range="0-2")[1]["Range"] == "0-2"
    assert ask(f"GET {where}")[1]["Range"] == "0-2"
    status, headers, _ = ask(
        f"PUT {where}?digest={digest}", b"def", content_range="3-5"
    )
    assert (status, headers["Docker-Content-Digest"]) == (201, digest)
    assert ask(f"GET /v2/app/blobs/{digest}")[2] == b"abcdef"
    assert code(ask(f"GET {where}")) == "BLOB_UPLOAD_UNKNOWN"


def test_a_digest_of_another_algorithm_than_announced_is_found_all_the_same(
    ask: Client,
) -> None:
    where = ask("POST /v2/app/blobs/uploads/")[1]["Location"]
    digest = Digest.of(b"abc", "sha512")
    assert ask(f"PUT {where}?digest={digest}", b"abc")[0] == 201


def test_a_chunk_out_of_order_is_told_where_to_go_on(ask: Client) -> None:
    where = ask("POST /v2/app/blobs/uploads/")[1]["Location"]
    ask(f"PATCH {where}", b"abc", content_range="0-2")
    for wrong in ("0-2", "4-6"):
        status, headers, _ = ask(f"PATCH {where}", b"xyz", content_range=wrong)
        assert (status, headers["Range"]) == (416, "0-2")


@pytest.mark.parametrize("wrong", ["0-5", "2-0", "x", "bytes"])
def test_a_chunk_that_is_not_as_long_as_it_says_is_refused(
    ask: Client, wrong: str
) -> None:
    where = ask("POST /v2/app/blobs/uploads/")[1]["Location"]
    assert code(ask(f"PATCH {where}", b"abc", content_range=wrong)) == "SIZE_INVALID"


def test_wrong_bytes_are_refused_and_leave_nothing(ask: Client, tmp_path: Path) -> None:
    where = ask("POST /v2/app/blobs/uploads/")[1]["Location"]
    said = ask(f"PUT {where}?digest={Digest.of(b'right')}", b"wrong")
    assert (said[0], code(said)) == (400, "DIGEST_INVALID")
    assert not list((tmp_path / "repositories/app/_uploads").iterdir())
    assert [p.name for p in tmp_path.glob("blobs/*/*")] == [EMPTY.encoded]


def test_an_upload_of_another_repository_is_unknown(ask: Client) -> None:
    where = ask("POST /v2/app/blobs/uploads/")[1]["Location"]
    there = where.replace("/app/", "/other/")
    assert code(ask(f"PATCH {there}", b"x")) == "BLOB_UPLOAD_UNKNOWN"
    name = "../../_tags/1"
    assert ask(f"PATCH /v2/app/blobs/uploads/{name}", b"x")[0] == 404


def test_a_cancelled_upload_is_gone(ask: Client) -> None:
    where = ask("POST /v2/app/blobs/uploads/")[1]["Location"]
    assert ask(f"DELETE {where}")[0] == 204
    assert code(ask(f"PATCH {where}", b"x")) == "BLOB_UPLOAD_UNKNOWN"


@pytest.mark.parametrize(
    ("asked", "status", "body", "said"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=-", 200, b"0123456789", None),
        ("bytes=1-2,4-5", 200, b"0123456789", None),
        ("bytes=5-1", 416, None, "bytes */10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        (f"bytes={'9' * 5000}-", 200, b"0123456789", None),
    ],
)
def test_a_part_of_a_blob(
    ask: Client, asked: str, status: int, body: bytes | None, said: str | None
) -> None:
    digest = ask.push("app", b"0123456789")
    answer = ask(f"GET /v2/app/blobs/{digest}", range=asked)
    assert (answer[0], answer[1].get("Content-Range")) == (status, said)
    assert body in (None, answer[2])


def test_a_manifest_comes_back_byte_for_byte(ask: Client) -> None:
    data = json.dumps(manifest(), indent=7).encode() + b"\n"
    assert ask("PUT /v2/app/manifests/1", data)[0] == 201
    status, headers, body = ask("GET /v2/app/manifests/1", accept="*/*")
    assert (status, body) == (200, data)
    assert headers["Content-Type"] == media_types.MANIFEST


def test_a_manifest_whose_layer_is_not_there_is_refused(ask: Client) -> None:
    said = ask("PUT /v2/app/manifests/1", json.dumps(manifest(b"lost")).encode())
    assert code(said) == "MANIFEST_BLOB_UNKNOWN"
    assert code(ask("GET /v2/app/manifests/1")) == "MANIFEST_UNKNOWN"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no json",
        b"[]",
        b"[" * 100_000,
        b'{"layers": {}}',
        b'{"layers": [1]}',
        b'{"config": {"digest": "sha256:1"}}',
        b'{"mediaType": "text/plain"}',
        b'{"subject": {"digest": 7}}',
        b'{"annotations": {"a": 1}}',
    ],
)
def test_what_is_no_manifest_is_refused(ask: Client, data: bytes) -> None:
    kind = media_types.MANIFEST
    said = ask("PUT /v2/app/manifests/1", data, content_type=kind)
    assert (said[0], code(said)) == (400, "MANIFEST_INVALID")


def test_a_manifest_that_is_too_long_is_not_read_to_its_end(ask: Client) -> None:
    said = ask("PUT /v2/app/manifests/1", b" " * (5 << 20))
    assert (said[0], code(said)) == (413, "MANIFEST_INVALID")


def test_a_manifest_under_the_wrong_digest_is_refused(ask: Client) -> None:
    line = f"PUT /v2/app/manifests/{EMPTY}"
    assert code(ask(line, json.dumps(manifest()).encode())) == "DIGEST_INVALID"


def test_a_client_that_accepts_no_such_type_is_told(ask: Client) -> None:
    ask.push_manifest("app/manifests/1", manifest())
    assert ask("GET /v2/app/manifests/1", accept="text/plain, image/*")[0] == 406
    some = f"text/plain;q=0.2, {media_types.MANIFEST};q=0.1"
    assert ask("GET /v2/app/manifests/1", accept=some)[0] == 200


def test_several_tags_come_with_one_push(ask: Client) -> None:
    data = json.dumps(manifest()).encode()
    line = f"PUT /v2/app/manifests/{Digest.of(data)}?tag=1&tag=1.2"
    assert ask(line, data)[1]["OCI-Tag"] == "1, 1.2"
    assert ask("GET /v2/app/manifests/1.2")[2] == data


def test_tags_come_in_pages_in_the_order_of_their_bytes(ask: Client) -> None:
    for tag in ("b", "a", "C", "10", "9"):
        ask.push_manifest(f"app/manifests/{tag}", manifest())
    status, headers, body = ask("GET /v2/app/tags/list?n=2")
    assert json.loads(body) == {"name": "app", "tags": ["10", "9"]}
    link = headers["Link"].partition("<")[2].partition(">")[0]
    assert json.loads(ask(f"GET {link}")[2])["tags"] == ["C", "a"]
    last = ask("GET /v2/app/tags/list?n=9&last=a")
    assert json.loads(last[2])["tags"] == ["b"]
    assert "Link" not in last[1]
    assert json.loads(ask("GET /v2/app/tags/list?n=0")[2])["tags"] == []
    assert ask("GET /v2/app/tags/list?n=x")[0] == 400
    assert code(ask("GET /v2/nothing/tags/list")) == "NAME_UNKNOWN"


def test_the_catalog_lists_the_repositories(ask: Client) -> None:
    ask.push("team/app", b"")
    said = json.loads(ask("GET /v2/_catalog")[2])
    assert said == {"repositories": ["app", "team/app"]}


def test_a_manifest_says_what_it_is_about(ask: Client) -> None:
    image = ask.push_manifest("app/manifests/1", manifest())
    subject = {"mediaType": media_types.MANIFEST, "digest": image, "size": 1}
    about = manifest(subject=subject, artifactType="a/b", annotations={"k": "v"})
    signature = ask.push_manifest("app/manifests/s", about)
    status, headers, body = ask(f"GET /v2/app/referrers/{image}")
    [found] = json.loads(body)["manifests"]
    assert (found["digest"], found["artifactType"]) == (signature, "a/b")
    assert found["annotations"] == {"k": "v"}
    filtered = ask(f"GET /v2/app/referrers/{image}?artifactType=c/d")
    assert json.loads(filtered[2])["manifests"] == []
    assert filtered[1]["OCI-Filters-Applied"] == "artifactType"
    ask(f"DELETE /v2/app/manifests/{signature}")
    assert json.loads(ask(f"GET /v2/app/referrers/{image}")[2])["manifests"] == []


def test_who_has_no_referrers_has_an_empty_list(ask: Client) -> None:
    status, headers, body = ask(f"GET /v2/never/seen/referrers/{EMPTY}")
    assert (status, json.loads(body)["manifests"]) == (200, [])
    assert headers["Content-Type"] == media_types.INDEX


def test_a_deleted_manifest_takes_its_tags_along(ask: Client) -> None:
    digest = ask.push_manifest("app/manifests/1", manifest())
    ask.push_manifest("app/manifests/other", manifest(b""))
    assert ask("DELETE /v2/app/manifests/1")[0] == 202
    assert ask(f"GET /v2/app/manifests/{digest}")[0] == 200
    ask.push_manifest("app/manifests/2", manifest())
    assert ask(f"DELETE /v2/app/manifests/{digest}")[0] == 202
    assert code(ask(f"GET /v2/app/manifests/{digest}")) == "MANIFEST_UNKNOWN"
    assert json.loads(ask("GET /v2/app/tags/list")[2])["tags"] == ["other"]


def test_a_blob_whose_file_was_lost_can_be_pushed_again(
    ask: Client, tmp_path: Path
) -> None:
    digest = ask.push("app", b"lost")
    (tmp_path / "blobs/sha256" / digest.encoded).unlink()
    assert code(ask(f"HEAD /v2/app/blobs/{digest}")) == "BLOB_UNKNOWN"
    ask.push("app", b"lost")
    assert ask(f"GET /v2/app/blobs/{digest}")[2] == b"lost"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_referrer_is_listed_by_the_digest_that_it_was_pushed_with(
    ask: Client, algorithm: str
) -> None:
    image = ask.push_manifest("app/manifests/1", manifest())
    subject = {"mediaType": media_types.MANIFEST, "digest": image, "size": 1}
    data = json.dumps(manifest(subject=subject)).encode()
    digest = Digest.of(data, algorithm)
    assert ask(f"PUT /v2/app/manifests/{digest}", data)[0] == 201
    [found] = json.loads(ask(f"GET /v2/app/referrers/{image}")[2])["manifests"]
    assert found["digest"] == digest


def test_a_deleted_blob_is_gone_from_its_repository_only(ask: Client) -> None:
    ask.push("other", b"")
    assert ask(f"DELETE /v2/app/blobs/{EMPTY}")[0] == 202
    assert code(ask(f"DELETE /v2/app/blobs/{EMPTY}")) == "BLOB_UNKNOWN"
    assert ask(f"GET /v2/other/blobs/{EMPTY}")[0] == 200


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("GET /v2/APP/tags/list", "NAME_INVALID"),
        ("GET /v2/../etc/tags/list", "NAME_INVALID"),
        ("GET /v2/a//b/tags/list", "NAME_INVALID"),
        ("GET /v2/_blobs/tags/list", "NAME_INVALID"),
        (f"GET /v2/{'a' * 256}/tags/list", "NAME_INVALID"),
        ("GET /v2/app/blobs/sha256:../../../etc/passwd", "UNSUPPORTED"),
        ("GET /v2/app/blobs/sha256:ABC", "DIGEST_INVALID"),
        ("GET /v2/app/blobs/md5:0123", "DIGEST_INVALID"),
        ("GET /v2/app/manifests/sha256:12", "DIGEST_INVALID"),
        ("GET /v2/app/manifests/..", "MANIFEST_UNKNOWN"),
        ("GET /v2/app/manifests/a\x00b", "MANIFEST_UNKNOWN"),
        ("PUT /v2/app/tags/list", "UNSUPPORTED"),
        ("GET /etc/passwd", "UNSUPPORTED"),
        ("POST /v2/app/blobs/uploads/?digest-algorithm=md5", "DIGEST_INVALID"),
        ("POST /v2/app/blobs/uploads/?mount=x&from=app", "DIGEST_INVALID"),
        ("GET /token", "UNSUPPORTED"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    ask: Client, line: str, expected: str
) -> None:
    answer = ask(line)
    assert 400 <= answer[0] < 500
    assert code(answer) == expected


def test_a_tag_that_is_no_tag_is_refused(ask: Client) -> None:
    line = f"PUT /v2/app/manifests/{'t' * 129}"
    assert code(ask(line, json.dumps(manifest()).encode())) == "MANIFEST_INVALID"
