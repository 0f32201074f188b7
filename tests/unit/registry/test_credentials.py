"""Docker's config.json: read as others write it, written as others read it."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest

from labkit.errors import DocumentError, HostError
from labkit.registry.client.credentials import Credentials, Login


@pytest.fixture
def known(tmp_path: Path) -> Credentials:
    return Credentials(tmp_path / "docker" / "config.json")


def write(known: Credentials, document: object) -> None:
    known.path.parent.mkdir(exist_ok=True)
    known.path.write_text(json.dumps(document))


def auth(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_without_a_file_nobody_is_known(known: Credentials) -> None:
    assert not known.login("docker.io")


def test_a_login_is_kept_for_its_owner_alone(known: Credentials) -> None:
    known.keep("localhost:5000", Login("ada", "a:b c"))
    assert known.login("localhost:5000") == Login("ada", "a:b c")
    assert not known.login("localhost:5001")
    assert stat.S_IMODE(known.path.stat().st_mode) == 0o600
    entry = json.loads(known.path.read_text())["auths"]["localhost:5000"]
    assert base64.b64decode(entry["auth"]) == b"ada:a:b c"


def test_what_others_wrote_stays(known: Credentials) -> None:
    write(known, {"psFormat": "x", "auths": {"a": {"auth": auth("x:y")}}})
    known.keep("b", Login("ada", "secret"))
    assert known.forget("b")
    assert not known.forget("b")
    kept = json.loads(known.path.read_text())
    assert kept == {"psFormat": "x", "auths": {"a": {"auth": auth("x:y")}}}


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io"])
def test_docker_hub_has_a_key_of_its_own(known: Credentials, key: str) -> None:
    write(known, {"auths": {key: {"auth": auth("ada:secret")}}})
    assert known.login("docker.io").user == "ada"


def test_docker_hub_is_kept_under_the_key_that_docker_reads(known: Credentials) -> None:
    known.keep("docker.io", Login("ada", "secret"))
    assert list(json.loads(known.path.read_text())["auths"]) == [
        "https://index.docker.io/v1/"
    ]


def test_an_identity_token_is_read(known: Credentials) -> None:
    write(known, {"auths": {"a": {"auth": auth("u:"), "identitytoken": "t"}}})
    assert known.login("a").identity_token == "t"


def test_a_program_that_would_be_asked_is_named(known: Credentials) -> None:
    write(known, {"credsStore": "desktop", "credHelpers": {"a": "own"}})
    assert (known.program("a"), known.program("b")) == ("own", "desktop")


def test_a_link_to_the_file_stays_a_link(known: Credentials, tmp_path: Path) -> None:
    real = tmp_path / "real.json"
    real.write_text("{}")
    known.path.parent.mkdir()
    known.path.symlink_to(real)
    known.keep("a", Login("ada", "secret"))
    assert known.path.is_symlink()
    assert "auths" in json.loads(real.read_text())


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"auths": [1]}',
        '{"auths": {"a": 1}}',
        '{"auths":{"a":{"auth":"?"}}}',
    ],
)
def test_a_broken_file_is_named(known: Credentials, text: str) -> None:
    known.path.parent.mkdir()
    known.path.write_text(text)
    with pytest.raises(DocumentError, match=r"config\.json"):
        known.login("a")
    assert known.path.read_text() == text


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    known = Credentials(tmp_path / "file" / "config.json")
    with pytest.raises(HostError, match="Not a directory"):
        known.keep("a", Login("ada", "secret"))


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Login("ada", "secret", "secret"))
