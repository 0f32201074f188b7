"""Who may come in: passwords in a file, tokens for a scope."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path

import pytest

from labkit.errors import DocumentError
from labkit.registry.server.access import Access, Basic, Tokens
from labkit.registry.server.passwords import Passwords, line
from labkit.registry.server.routes import Registry
from labkit.registry.server.storage import Storage
from tests.support.registries import ADA
from tests.unit.registry.test_endpoints import Client, code


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "htpasswd"
    file.write_text(f"# who may come in\n\n{ADA}\n")
    return file


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def client(tmp_path: Path, access: Access) -> Client:
    return Client(Registry(Storage(tmp_path / "storage"), access))


def token(ask: Client, scope: str, authorization: str = "") -> str:
    headers = {"authorization": authorization} if authorization else {}
    status, _, body = ask(f"GET /token?service=labkit&scope={scope}", **headers)
    assert status == 200, body
    return f"Bearer {json.loads(body)['token']}"


def test_passwords_are_compared_with_their_hashes(file: Path) -> None:
    passwords = Passwords(file)
    for _ in range(2):  # the second time it is remembered
        assert passwords.verify("ada", "secret")
        assert not passwords.verify("ada", "Secret")
        assert not passwords.verify("bob", "secret")
        assert not passwords.verify("bob", "")


def test_what_htpasswd_wrote_is_understood(file: Path) -> None:
    file.write_text(ADA)
    assert Passwords(file).verify("ada", "secret")
    assert not Passwords(file).verify("ada", "secrets")


def test_a_changed_file_counts_at_once(file: Path) -> None:
    passwords = Passwords(file)
    assert passwords.verify("ada", "secret")
    file.write_text(line("bob", "other"))
    os.utime(file, ns=(1, 1))
    assert not passwords.verify("ada", "secret")
    assert passwords.verify("bob", "other")


def test_a_long_password_counts_as_far_as_bcrypt_looks(file: Path) -> None:
    file.write_text(line("ada", "x" * 100))
    assert Passwords(file).verify("ada", "x" * 100)


@pytest.mark.parametrize("bad", ["ada", "ada:{SHA}abc", "ada:$apr1$x", ":$2y$05$x"])
def test_only_bcrypt_is_taken(file: Path, bad: str) -> None:
    file.write_text(f"\n{bad}\n")
    with pytest.raises(DocumentError, match="line 2: not NAME:BCRYPT"):
        Passwords(file)


@pytest.mark.parametrize("name", ["", "a:b", "a\nb"])
def test_a_name_must_fit_into_a_line(name: str) -> None:
    with pytest.raises(DocumentError):
        line(name, "secret")


def test_without_a_password_there_is_a_challenge(file: Path, tmp_path: Path) -> None:
    ask = client(tmp_path, Basic(Passwords(file)))
    answer = ask("GET /v2/")
    assert (answer[0], code(answer)) == (401, "UNAUTHORIZED")
    assert answer[1]["WWW-Authenticate"] == 'Basic realm="labkit"'


@pytest.mark.parametrize(
    "shown",
    [
        basic("ada", "wrong"),
        basic("bob", "secret"),
        "Basic !!!",
        "Basic /w==",
        "Bearer x",
        "Basic",
    ],
)
def test_the_wrong_thing_shown_is_refused(
    file: Path, tmp_path: Path, shown: str
) -> None:
    ask = client(tmp_path, Basic(Passwords(file)))
    assert ask("GET /v2/app/tags/list", authorization=shown)[0] == 401


def test_the_right_password_opens(file: Path, tmp_path: Path) -> None:
    ask = client(tmp_path, Basic(Passwords(file)))
    assert ask("GET /v2/", authorization=basic("ada", "secret"))[0] == 200


def test_a_challenge_says_where_tokens_are_and_which(
    file: Path, tmp_path: Path
) -> None:
    ask = client(tmp_path, Tokens(Passwords(file)))
    said = ask("POST /v2/app/blobs/uploads/")[1]["WWW-Authenticate"]
    assert said == (
        'Bearer realm="http://here/token",service="labkit",'
        'scope="repository:app:pull,push"'
    )


def test_a_token_allows_what_it_says(file: Path, tmp_path: Path) -> None:
    ask = client(tmp_path, Tokens(Passwords(file)))
    pull = token(ask, "repository:app:pull", basic("ada", "secret"))
    both = token(ask, "repository:app:pull,push", basic("ada", "secret"))
    assert ask("GET /v2/", authorization=pull)[0] == 200
    assert ask("GET /v2/app/tags/list", authorization=pull)[0] == 404
    assert ask("GET /v2/other/tags/list", authorization=pull)[0] == 401
    said = ask("POST /v2/app/blobs/uploads/", authorization=pull)
    assert 'error="insufficient_scope"' in said[1]["WWW-Authenticate"]
    assert ask("POST /v2/app/blobs/uploads/", authorization=both)[0] == 202


def test_a_token_ends(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = client(tmp_path, Tokens(Passwords(file), lifetime_s=60))
    shown = token(ask, "", basic("ada", "secret"))
    assert ask("GET /v2/", authorization=shown)[0] == 200
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert ask("GET /v2/", authorization=shown)[0] == 401


def test_a_changed_token_is_worth_nothing(file: Path, tmp_path: Path) -> None:
    ask = client(tmp_path, Tokens(Passwords(file)))
    shown = token(ask, "repository:app:pull", basic("ada", "secret"))
    head, claims, signature = shown.removeprefix("Bearer ").split(".")
    more = base64.urlsafe_b64encode(b'{"exp": 9e9, "access": {"app": ["push"]}}')
    for wrong in (
        f"{head}.{more.rstrip(b'=').decode()}.{signature}",
        f"{head}.{claims}.",
        f"{head}.{claims}",
        ".",
        "\xe9.\xe9.\xe9",
    ):
        assert ask("GET /v2/", authorization=f"Bearer {wrong}")[0] == 401


def test_the_public_may_pull(file: Path, tmp_path: Path) -> None:
    ask = client(tmp_path, Tokens(Passwords(file), public=True))
    shown = token(ask, "repository:app:pull,push")
    assert ask("GET /v2/app/tags/list", authorization=shown)[0] == 404
    assert ask("POST /v2/app/blobs/uploads/", authorization=shown)[0] == 401


def test_a_wrong_password_gets_no_token_even_in_public(
    file: Path, tmp_path: Path
) -> None:
    ask = client(tmp_path, Tokens(Passwords(file), public=True))
    assert ask("GET /token", authorization=basic("ada", "wrong"))[0] == 401
    ask = client(tmp_path, Tokens(Passwords(file)))
    assert ask("GET /token")[0] == 401
