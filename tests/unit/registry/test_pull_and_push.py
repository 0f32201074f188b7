"""The client and the lab's registry: images go there and come back the same."""

from __future__ import annotations

import os
import ssl
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import RegistryError
from labkit.image import Descriptor, Digest, Index, Manifest, Platform, Store, parse
from labkit.registry.client.credentials import Credentials, Login
from labkit.registry.client.login import login, logout
from labkit.registry.client.progress import Moved, Phase
from labkit.registry.client.pull import Wanted, pull
from labkit.registry.client.push import push
from labkit.registry.client.repository import Repository
from labkit.registry.client.session import Asking, Session, Terms
from labkit.registry.client.wire import Trust
from labkit.registry.server.access import Access, Basic, Tokens
from labkit.registry.server.connection import Server
from labkit.registry.server.passwords import Passwords
from tests.support.registries import (
    ADA,
    HURRY,
    IN_A_HURRY,
    bad,
    name_of,
    put_image,
    registry,
)
from tests.unit.registry.test_connection import make_certificate

LAYERS = (os.urandom(3 << 19), b"", b"small")


def same(store: Store, descriptor: Descriptor) -> bool:
    """Say whether an image is whole and unchanged; reading checks each digest."""
    manifest = parse(store.read(descriptor), descriptor.media_type)
    assert isinstance(manifest, Manifest)
    layers = [store.open(layer) for layer in manifest.layers]
    return tuple(layer.read() for layer in layers) == LAYERS


@pytest.mark.parametrize("chunk_bytes", [0, 1 << 20])
def test_an_image_comes_back_as_it_was(
    tmp_path: Path, here: Store, there: Store, chunk_bytes: int
) -> None:
    with registry(tmp_path / "registry") as server:
        name = name_of(server)
        image = put_image(here, name, LAYERS)
        assert push(name, here, IN_A_HURRY, chunk_bytes=chunk_bytes) == here.resolve(
            name
        )
        assert pull(name, there, terms=IN_A_HURRY).digest == image.digest
        assert same(there, there.resolve(name))
        by_digest = replace(name, tag=None, digest=image.digest)
        assert pull(by_digest, there, terms=IN_A_HURRY).digest == image.digest


def test_everybody_is_told_how_far_each_blob_is(
    tmp_path: Path, here: Store, there: Store
) -> None:
    told: list[Moved] = []
    threads = set()

    def subscriber(moved: Moved) -> None:
        told.append(moved)
        threads.add(threading.get_ident())

    with registry(tmp_path / "registry") as server:
        name = name_of(server)
        put_image(here, name, LAYERS)
        push(name, here, IN_A_HURRY, subscriber)
        pull(name, there, terms=IN_A_HURRY, subscriber=subscriber)
        assert threads == {threading.get_ident()}
        assert [m.phase for m in told].count(Phase.DONE) == 8
        assert max(m.done for m in told if m.phase == Phase.PULLING) == len(LAYERS[0])
        told.clear()
        push(name, here, IN_A_HURRY, subscriber)
        pull(name, there, terms=IN_A_HURRY, subscriber=subscriber)
        assert {m.phase for m in told} == {Phase.THERE}


def test_a_blob_that_another_repository_has_is_mounted(
    tmp_path: Path, here: Store
) -> None:
    told: list[Moved] = []
    with registry(tmp_path / "registry") as server:
        put_image(here, name_of(server, "one:1"), LAYERS)
        push(name_of(server, "one:1"), here, IN_A_HURRY)
        put_image(here, name_of(server, "two:1"), LAYERS)
        push(name_of(server, "two:1"), here, IN_A_HURRY, told.append)
    assert {m.phase for m in told} == {Phase.MOUNTED}


def put_index(store: Store, name: object) -> tuple[Descriptor, list[Descriptor]]:
    mine = put_image(store, name, (b"mine",))
    other = put_image(store, name, (b"other",))
    index = Index(
        (
            replace(other, platform=Platform("linux", "s390x")),
            replace(mine, platform=Platform.here()),
        )
    )
    top = store.write(index.to_bytes(), index.media_type)
    store.tag(name, top)
    return top, [mine, other]


def test_of_an_index_this_machines_image_is_pulled(
    tmp_path: Path, here: Store, there: Store
) -> None:
    with registry(tmp_path / "registry") as server:
        name = name_of(server)
        top, (mine, other) = put_index(here, name)
        push(name, here, IN_A_HURRY)
        assert pull(name, there, terms=IN_A_HURRY).digest == top.digest
        assert there.has(mine.digest)
        assert not there.has(other.digest)
        wanted = Wanted(Platform.parse("linux/s390x"))
        assert pull(name, there, wanted, IN_A_HURRY).digest == other.digest
        pull(name, there, Wanted(all_platforms=True), IN_A_HURRY)
        assert there.resolve(name).digest == top.digest
        assert there.has(other.digest)


def test_of_an_index_that_is_not_whole_this_machines_image_is_pushed(
    tmp_path: Path, here: Store, there: Store
) -> None:
    with registry(tmp_path / "one") as one, registry(tmp_path / "two") as two:
        _, (mine, _) = put_index(here, name_of(one))
        push(name_of(one), here, IN_A_HURRY)
        top = pull(name_of(one), there, terms=IN_A_HURRY)
        there.tag(name_of(two), top)
        assert push(name_of(two), there, IN_A_HURRY).digest == mine.digest


def test_tags_are_listed_over_all_pages(tmp_path: Path, here: Store) -> None:
    with registry(tmp_path / "registry") as server:
        for tag in ("1", "2", "3"):
            name = name_of(server, f"app:{tag}")
            put_image(here, name)
            push(name, here, IN_A_HURRY)
        with Session(name.registry, IN_A_HURRY) as session:
            assert list(Repository(session, "app").tags()) == ["1", "2", "3"]


def passwords(tmp_path: Path) -> Passwords:
    (tmp_path / "htpasswd").write_text(ADA)
    return Passwords(tmp_path / "htpasswd")


RIGHT, WRONG = Login("ada", "secret"), Login("ada", "wrong")


@pytest.mark.parametrize("access", [Basic, Tokens])
def test_who_knows_the_password_pushes_and_pulls(
    tmp_path: Path, here: Store, there: Store, access: type[Access]
) -> None:
    with registry(tmp_path / "registry", access(passwords(tmp_path))) as server:
        image = put_image(here, name_of(server), LAYERS)
        push(name_of(server), here, Terms(patience=HURRY, login=RIGHT))
        terms = Terms(patience=HURRY, login=RIGHT)
        assert pull(name_of(server), there, terms=terms).digest == image.digest
        for login_ in (WRONG, Login()):
            with pytest.raises(RegistryError, match="401 UNAUTHORIZED") as refused:
                pull(name_of(server), there, terms=Terms(patience=HURRY, login=login_))
            assert f"labkit login 127.0.0.1:{server.server_address[1]}" in str(
                refused.value
            )


def test_a_token_that_ends_is_got_again(
    tmp_path: Path, here: Store, there: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = Tokens(passwords(tmp_path), lifetime_s=-1)
    with registry(tmp_path / "registry", access) as server:
        put_image(here, name_of(server))
        with pytest.raises(RegistryError, match="401"):  # it has always ended already
            push(name_of(server), here, Terms(patience=HURRY, login=RIGHT))
        monkeypatch.setattr(access, "_lifetime_s", 300)
        terms = Terms(patience=HURRY, login=RIGHT)
        with Session(name_of(server).registry, terms) as session:
            repository = Repository(session, "app")
            assert not repository.has_blob(Digest.of(b"x"))
            monkeypatch.setattr(access, "_secret", b"another")  # as after a restart
            assert not repository.has_blob(Digest.of(b"x"))


def test_anybody_pulls_with_an_anonymous_token(
    tmp_path: Path, here: Store, there: Store
) -> None:
    access = Tokens(passwords(tmp_path), public=True)
    with registry(tmp_path / "registry", access) as server:
        image = put_image(here, name_of(server))
        push(name_of(server), here, Terms(patience=HURRY, login=RIGHT))
        assert pull(name_of(server), there, terms=IN_A_HURRY).digest == image.digest
        with pytest.raises(RegistryError, match="401"):
            push(name_of(server), there, IN_A_HURRY)


@pytest.mark.parametrize("access", [Basic, Tokens])
def test_login_keeps_what_the_registry_likes(
    tmp_path: Path,
    here: Store,
    there: Store,
    access: type[Access],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with registry(tmp_path / "registry", access(passwords(tmp_path))) as server:
        host = name_of(server).registry
        with pytest.raises(RegistryError, match="401"):
            login(host, WRONG, IN_A_HURRY)
        assert not Credentials().path.exists()
        login(host, RIGHT, IN_A_HURRY)
        put_image(here, name_of(server))
        push(name_of(server), here, Terms(patience=HURRY))
        pull(name_of(server), there, terms=Terms(patience=HURRY))
        logout(host)
        with pytest.raises(RegistryError, match="not logged in"):
            logout(host)
        with pytest.raises(RegistryError, match="401"):
            pull(name_of(server), there, terms=Terms(patience=HURRY))


def test_a_challenge_is_read_to_its_end_and_the_connection_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    said: list[str] = []
    accepted: list[object] = []
    access = Basic(passwords(tmp_path))
    with registry(tmp_path / "registry", access, say=said.append) as server:
        monkeypatch.setattr(
            server, "verify_request", lambda *who: accepted.append(who) is None
        )
        login(name_of(server).registry, RIGHT, IN_A_HURRY)
    assert [line.split()[2] for line in said] == ["401", "401", "200"]
    assert len(accepted) == 1


@pytest.fixture
def secure(tmp_path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(tmp_path))
    return context


def test_a_certificate_must_be_believed(
    tmp_path: Path, here: Store, secure: ssl.SSLContext
) -> None:
    with registry(tmp_path / "registry", tls=secure) as server:
        name = name_of(server)
        put_image(here, name)
        with pytest.raises(RegistryError, match="CERTIFICATE_VERIFY_FAILED") as refused:
            push(name, here, IN_A_HURRY)
        assert "--ca FILE" in str(refused.value)
        for trust in (
            Trust(authorities=str(tmp_path / "cert.pem")),
            Trust(insecure=True),
        ):
            push(name, here, replace(IN_A_HURRY, trust=trust))


def test_plain_http_is_for_this_machine_or_on_request(
    tmp_path: Path, here: Store
) -> None:
    assert Session("localhost:5000")._schemes("localhost:5000") == ("http", "https")
    assert Session("lab.example")._schemes("lab.example") == ("https",)
    insecure = Session("lab.example", Terms(Trust(insecure=True)))
    assert insecure._schemes("lab.example") == ("https", "http")


def test_a_proxy_of_the_environment_is_asked_but_not_for_this_machine(
    tmp_path: Path, here: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bad(tmp_path / "registry") as server:
        port = server.server_address[1]
        monkeypatch.setenv("https_proxy", f"http://me:p%40ss@127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "near.example")
        put_image(here, name_of(server))
        push(name_of(server), here, IN_A_HURRY)
        for host, asked in (("far.example", 1), ("near.example", 0)):
            server.seen.clear()
            session = Session(f"{host}:9", IN_A_HURRY)
            with session, pytest.raises(RegistryError):
                session.ask(Asking("GET", "/v2/"))
            seen = server.asked(f"CONNECT {host}:9")
            assert bool(asked) == bool(seen)
            shown = {headers.get("proxy-authorization") for headers in seen}
            assert shown <= {"Basic bWU6cEBzcw=="}  # me:p@ss


def test_a_subject_is_noted_under_a_tag_where_no_list_is_kept(
    tmp_path: Path, here: Store
) -> None:
    with bad(tmp_path / "registry") as server:
        name = name_of(server)
        image = put_image(here, name)
        push(name, here, IN_A_HURRY)
        config = parse(here.read(image), image.media_type)
        assert isinstance(config, Manifest)
        about = Manifest(config.config, (), artifact_type="a/b", subject=image)
        signature = here.write(about.to_bytes(), about.media_type)
        signed = name_of(server, "app:signature")
        here.tag(signed, signature)
        _forget_subjects(server)
        push(signed, here, IN_A_HURRY)
        push(signed, here, IN_A_HURRY)
        with Session(name.registry, IN_A_HURRY) as session:
            list_of_it = image.digest.replace(":", "-")
            listed = Repository(session, "app").manifest(list_of_it).parsed
        assert isinstance(listed, Index)
        [found] = listed.manifests
        assert (found.digest, found.artifact_type) == (signature.digest, "a/b")


def _forget_subjects(server: Server) -> None:
    # As a registry of the time before the list.
    answer = server.registry.answer

    def older(request: object) -> object:
        said = answer(request)  # type: ignore[arg-type]
        headers = {k: v for k, v in said.headers.items() if k != "OCI-Subject"}
        return replace(said, headers=headers)

    server.registry.answer = older  # type: ignore[assignment,method-assign]
