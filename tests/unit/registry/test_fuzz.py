"""Whatever a registry answers, the client ends with the image or with a LabError."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labkit.errors import LabError
from labkit.image import Digest, Reference
from labkit.image.descriptor import Descriptor
from labkit.registry.client.credentials import Login
from labkit.registry.client.pull import pull
from labkit.registry.client.session import Terms
from labkit.registry.client.wire import Patience
from tests.support.registries import MEMORY, store_in

TERMS = Terms(
    patience=Patience(tries=2, pause_s=0, longest_pause_s=0, silence_s=0.2),
    login=Login("ada", "secret"),
)
STATUS = st.sampled_from([100, 101, 200, 200, 200, 204, 206, 301, 307, 400, 401, 404])
NAMES = st.sampled_from(
    [
        "Content-Length",
        "Content-Type",
        "Content-Range",
        "Content-Encoding",
        "Docker-Content-Digest",
        "Location",
        "Retry-After",
        "Transfer-Encoding",
        "WWW-Authenticate",
    ]
)
DIGEST = Digest.of(b"{}")
PARTS = st.dictionaries(
    st.sampled_from(["mediaType", "digest", "size", "urls", "platform", "annotations"]),
    st.sampled_from([DIGEST, 2, -1, 1 << 70, "", "x", None, [], {}, ["x"], True]),
)
DOCUMENTS = st.fixed_dictionaries(
    {"schemaVersion": st.sampled_from([2, 1, "2", None])},
    optional={
        "mediaType": st.sampled_from(
            [
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.oci.image.index.v1+json",
                "text/html",
                7,
            ]
        ),
        "config": PARTS,
        "layers": st.lists(PARTS, max_size=3),
        "manifests": st.lists(PARTS, max_size=3),
        "subject": PARTS,
    },
)
VALUES = st.one_of(
    st.sampled_from(
        [
            "0",
            "2",
            "-1",
            "99999999999999999999",
            "chunked",
            "gzip",
            "bytes 0-1/2",
            "bytes 5-6/7",
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.oci.image.index.v1+json",
            DIGEST,
            "/v2/app/blobs/" + DIGEST,
            "//[",
            "http://127.0.0.1:1/",
            'Basic realm="x"',
            'Bearer realm="http://127.0.0.1:1/"',
        ]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40),
)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=4)
BODIES = st.one_of(
    st.binary(max_size=200), DOCUMENTS.map(lambda d: json.dumps(d).encode())
)
ANSWERS = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda s, h, b: _answer(s, h, b), STATUS, HEADERS, BODIES),
)


def _answer(status: int, headers: list[tuple[str, str]], body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status} x", *(f"{name}: {value}" for name, value in headers)]
    names = [name for name, _ in headers]
    if "Content-Length" not in names:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@contextmanager
def answering(answers: list[bytes]) -> Iterator[Reference]:
    """Give each connection the next answer; the last one again and again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        left = list(answers)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(1)
                    _one(connection, left.pop(0) if len(left) > 1 else left[0])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield Reference.parse(f"127.0.0.1:{listener.getsockname()[1]}/app:1")
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _one(connection: socket.socket, answer: bytes) -> None:
    try:
        connection.recv(1 << 16)
        connection.sendall(answer)
    except OSError:
        return  # the client went away: its right


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(ANSWERS, min_size=1, max_size=6), st.booleans())
def test_any_answers_end_in_an_image_or_in_a_clear_error(
    answers: list[bytes], polite: bool
) -> None:
    greeting = [_answer(200, [], b"{}")] if polite else []
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        store = store_in(Path(folder))
        with answering([*greeting, *answers]) as reference:
            try:
                pull(reference, store, terms=TERMS)
            except LabError as error:
                assert len(str(error).splitlines()) == 3
                assert not store.references()
        for digest in store.all():
            size = Path(store.path(digest)).stat().st_size
            with store.open(Descriptor("", digest, size)) as blob:
                assert Digest.of(blob.read(), digest.algorithm) == digest
