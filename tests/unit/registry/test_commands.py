"""labkit pull, push, login, logout, registry: as a terminal's user sees them."""

from __future__ import annotations

import contextlib
import io
import pty
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.cli import main
from labkit.image import Digest, Store
from labkit.registry.client.progress import Moved, Phase, shown
from labkit.registry.server.access import Basic
from labkit.registry.server.connection import Server
from labkit.registry.server.passwords import Passwords
from labkit.registry.server.storage import Storage
from tests.support.registries import ADA, name_of, put_image, registry

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """State and logins of this test alone."""
    monkeypatch.setenv("LABKIT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "htpasswd").write_text(ADA)
    access = Basic(Passwords(tmp_path / "htpasswd"))
    with registry(tmp_path / "registry", access) as server:
        yield server


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_a_login_a_push_a_pull_and_a_logout(
    server: Server, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = name_of(server)
    image = put_image(Store.default(), name, (b"layer",))
    assert main(["push", str(name)]) == 1
    assert f"try: labkit login {name.registry}" in capsys.readouterr().err
    typed(monkeypatch, "wrong\n")
    login = ["login", "-u", "ada", "--password-stdin", name.registry]
    assert main(login) == 1
    typed(monkeypatch, "secret\n")
    assert main(login) == 0
    assert f"logged in to {name.registry} as ada" in capsys.readouterr().out
    assert main(["push", str(name)]) == 0
    said = capsys.readouterr()
    assert said.out == f"{name} {image.digest}\n"
    layer = Digest.of(b"layer").short
    assert f"{layer}  done, 5 bytes" in said.err
    assert main(["pull", str(name)]) == 0
    said = capsys.readouterr()
    assert f"{layer}  already there, 5 bytes" in said.err
    assert main(["logout", name.registry]) == 0
    assert main(["pull", str(name)]) == 1


def test_an_image_that_is_not_here_cannot_be_pushed(capsys: Captured) -> None:
    assert main(["push", "127.0.0.1:1/no:1"]) == 1
    assert "not here" in capsys.readouterr().err


def test_a_name_that_is_none_is_refused(capsys: Captured) -> None:
    assert main(["pull", "Not A Name"]) == 1
    assert "no name of an image" in capsys.readouterr().err


def test_a_password_is_printed_as_a_line_of_the_file(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, "secret\n")
    assert main(["registry", "password", "bob"]) == 0
    (tmp_path / "file").write_text(capsys.readouterr().out)
    assert Passwords(tmp_path / "file").verify("bob", "secret")


def test_the_collection_says_what_is_gone(tmp_path: Path, capsys: Captured) -> None:
    storage = Storage(tmp_path / "storage")
    storage.write(storage.blob(Digest.of(b"lost")), b"lost")
    collect = ["registry", "collect", "--storage", str(tmp_path / "storage")]
    assert main(collect) == 0
    assert capsys.readouterr().out == "0 links and 1 blobs removed, 4 bytes\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--listen 5000", "not understood"),
        ("--listen here:x", "not understood"),
        ("--listen :99999", "not understood"),
        ("--tokens", "without --htpasswd FILE"),
        ("--public", "without --htpasswd FILE"),
        ("--htpasswd {file} --public", "without --tokens"),
        ("--htpasswd {folder}/none", "No such file"),
        ("--htpasswd {folder}", "Is a directory"),
        ("--tls-key {file}", "without --tls-cert FILE"),
        ("--tls-cert {file}", "certificate and key can't be used"),
        ("--tls-cert {folder}/none", "No such file"),
        ("--storage {file}", "Not a directory"),
        ("--listen 192.0.2.1:5000", "192.0.2.1:5000"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anybody_listens(
    tmp_path: Path, capsys: Captured, words: str, said: str
) -> None:
    file = tmp_path / "file"
    file.write_text(ADA)
    given = words.format(file=file, folder=tmp_path).split()
    assert main(["registry", "serve", *given]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 3


DIGEST = Digest.of(b"x")
TOLD = [
    Moved(DIGEST, Phase.PULLING, 10, 100),
    Moved(DIGEST, Phase.AGAIN, 10, 100, "the line broke"),
    Moved(DIGEST, Phase.DONE, 100, 100),
]


def test_without_a_terminal_progress_is_a_line_for_each_end() -> None:
    stream = io.StringIO()
    with shown(stream) as subscriber:
        for moved in TOLD:
            subscriber(moved)
    assert stream.getvalue() == (
        f"{DIGEST.short}  trying again, 100 bytes: the line broke\n"
        f"{DIGEST.short}  done, 100 bytes\n"
    )


def everything(terminal: int) -> str:
    """Return what was written to a terminal whose other side is closed: then EIO."""
    text = b""
    with open(terminal, "rb", buffering=0) as file, contextlib.suppress(OSError):
        while block := file.read(1 << 16):
            text += block
    return text.decode()


def test_on_a_terminal_progress_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    with open(theirs, "w") as stream, shown(stream) as subscriber:
        for moved in TOLD:
            subscriber(moved)
    text = everything(ours)
    assert DIGEST.short in text
    assert re.search(r"100/100|100 bytes|done", text)
    assert "━" in text
