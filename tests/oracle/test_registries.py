"""Registries and clients of others: each pushes, each pulls, and all see one digest.

skopeo, podman and the lab's client; docker-registry and the lab's own; without and with
passwords, and with tokens.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from labkit.image import Reference, Store
from labkit.registry.client.credentials import Credentials, Login
from labkit.registry.client.login import login
from labkit.registry.client.pull import pull
from labkit.registry.client.push import push
from labkit.registry.client.session import Terms
from labkit.registry.server.access import Basic, Tokens
from labkit.registry.server.passwords import Passwords
from tests.support.registries import ADA, put_image, registry, store_in
from tests.support.skips import need

USER, PASSWORD = "ada", "secret"
LOGIN = Login(USER, PASSWORD)


@dataclass(frozen=True)
class Place:
    """A registry under test, and where programs may keep files."""

    host: str
    secret: bool
    folder: Path
    near: Path  # podman takes no long path for its run-time files

    def name(self, tag: str) -> Reference:
        return Reference.parse(f"{self.host}/team/app:{tag}")

    def said_by(self, *argv: str) -> str:
        done = subprocess.run(argv, capture_output=True, text=True, cwd=self.folder)
        assert done.returncode == 0, f"{' '.join(argv)}\n{done.stderr}"
        return done.stdout.strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registries")


@pytest.fixture(scope="module")
def image(folder: Path) -> Store:
    """An image that all clients push: an OCI layout, and a store."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("etc/motd")
        member.size = 1 << 20
        archive.addfile(member, io.BytesIO(os.urandom(1 << 20)))
    store = store_in(folder / "layout")
    put_image(store, Reference.parse("made:1"), (file.getvalue(),))
    return store


SECRET = ["lab passwords", "lab tokens", "docker passwords"]


@pytest.fixture(scope="module", params=["lab", "docker", *SECRET])
def place(request: pytest.FixtureRequest, folder: Path) -> Iterator[Place]:
    whose, _, how = str(request.param).partition(" ")
    own = folder / str(request.param).replace(" ", "-")
    own.mkdir()
    (own / "htpasswd").write_text(ADA + "\n")
    serving = _lab if whose == "lab" else _docker
    with serving(own, how) as host, tempfile.TemporaryDirectory() as near:
        yield Place(host, bool(how), own, Path(near))


@contextmanager
def _lab(own: Path, how: str) -> Iterator[str]:
    made = {"": lambda _: None, "passwords": Basic, "tokens": Tokens}[how]
    with registry(own / "data", made(Passwords(own / "htpasswd"))) as server:
        yield server.url.removeprefix("http://")


@contextmanager
def _docker(own: Path, how: str) -> Iterator[str]:
    program = shutil.which("docker-registry")
    need("docker-registry", program, "docker-registry isn't installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    storage = {"filesystem": {"rootdirectory": str(own / "data")}}
    config: dict[str, object] = {
        "version": 0.1,
        "storage": storage,
        "http": {"addr": host},
    }
    if how:
        words = {"realm": "docker", "path": str(own / "htpasswd")}
        config["auth"] = {"htpasswd": words}
    (own / "config.yml").write_text(json.dumps(config))  # JSON is YAML, too
    log = (own / "log").open("w")
    argv = [str(program), "serve", str(own / "config.yml")]
    process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        _wait_for(host)
        yield host
    finally:
        process.kill()
        process.wait()
        log.close()


def _wait_for(host: str) -> None:
    address, _, port = host.partition(":")
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection((address, int(port))).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


# A client pushes the image under a tag, and pulls a tag; both return the digest.
def lab_pushes(place: Place, image: Store, tag: str) -> str:
    image.tag(place.name(tag), image.resolve(Reference.parse("made:1")))
    return push(place.name(tag), image, _terms(place)).digest


def lab_pulls(place: Place, tag: str) -> str:
    store = store_in(place.folder / f"store-{tag}")
    found = pull(place.name(tag), store, terms=_terms(place))
    for digest in store.all():
        assert store.has(digest)
    return found.digest


def skopeo_pushes(place: Place, image: Store, tag: str) -> str:
    there = f"docker://{place.name(tag)}"
    source = f"oci:{image.root}:docker.io/library/made:1"
    creds = [f"--dest-creds={USER}:{PASSWORD}"] if place.secret else []
    place.said_by(
        "skopeo", "copy", "--dest-tls-verify=false", "--digestfile=digest",
        *creds, source, there,
    )  # fmt: skip
    return (place.folder / "digest").read_text().strip()


def skopeo_pulls(place: Place, tag: str) -> str:
    creds = [f"--src-creds={USER}:{PASSWORD}"] if place.secret else []
    place.said_by(
        "skopeo", "copy", "--src-tls-verify=false", "--digestfile=digest",
        *creds, f"docker://{place.name(tag)}", f"dir:skopeo-{tag}",
    )  # fmt: skip
    return (place.folder / "digest").read_text().strip()


def podman_pushes(place: Place, image: Store, tag: str) -> str:
    podman = _podman(place)
    source = f"oci:{image.root}:docker.io/library/made:1"
    number = place.said_by(*podman, "pull", "-q", source)
    place.said_by(
        *podman, "push", "--tls-verify=false", "--digestfile=digest",
        *_creds(place), number, f"docker://{place.name(tag)}",
    )  # fmt: skip
    return (place.folder / "digest").read_text().strip()


def podman_pulls(place: Place, tag: str) -> str:
    podman, name = _podman(place), str(place.name(tag))
    place.said_by(*podman, "pull", "-q", "--tls-verify=false", *_creds(place), name)
    return place.said_by(*podman, "image", "inspect", "-f", "{{.Digest}}", name)


def _podman(place: Place) -> list[str]:
    own = place.near
    storage = [f"--root={own}/root", f"--runroot={own}/run", f"--tmpdir={own}/tmp"]
    return ["podman", *storage, "--storage-driver=vfs", "--events-backend=file"]


def _creds(place: Place) -> list[str]:
    return [f"--creds={USER}:{PASSWORD}"] if place.secret else []


def _terms(place: Place) -> Terms:
    return Terms(login=LOGIN if place.secret else Login())


PUSHING: dict[str, Callable[[Place, Store, str], str]] = {
    "lab": lab_pushes,
    "skopeo": skopeo_pushes,
    "podman": podman_pushes,
}
PULLING: dict[str, Callable[[Place, str], str]] = {
    "lab": lab_pulls,
    "skopeo": skopeo_pulls,
    "podman": podman_pulls,
}


@pytest.mark.usefixtures("as_root")  # podman's storage keeps owners
@pytest.mark.parametrize("who", PUSHING)
def test_what_one_client_pushes_all_pull(place: Place, image: Store, who: str) -> None:
    for program in ("skopeo", "podman"):
        need(program, shutil.which(program), f"{program} isn't installed")
    digest = PUSHING[who](place, image, who)
    pulled = {client: pulls(place, who) for client, pulls in PULLING.items()}
    assert pulled == dict.fromkeys(PULLING, digest)
    if who != "podman":  # which packs the layers again
        assert digest == image.resolve(Reference.parse("made:1")).digest


@pytest.mark.parametrize("place", SECRET, indirect=True)
@pytest.mark.parametrize("who", ["lab", "podman"])
def test_a_login_of_one_is_a_login_of_the_others(
    place: Place, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(who, who == "lab" or shutil.which(who), f"{who} isn't installed")
    need("skopeo", shutil.which("skopeo"), "skopeo isn't installed")
    monkeypatch.setenv("DOCKER_CONFIG", str(place.folder / who))
    file = Credentials().path
    if who == "lab":
        login(place.host, LOGIN, Terms())
    else:
        file.parent.mkdir()
        place.said_by(
            *_podman(place), "login", "--tls-verify=false", f"--authfile={file}",
            f"--username={USER}", f"--password={PASSWORD}", place.host,
        )  # fmt: skip
    assert Credentials().login(place.host) == LOGIN
    place.said_by(
        "skopeo", "list-tags", "--tls-verify=false", f"--authfile={file}",
        f"docker://{place.name('lab').name}",
    )  # fmt: skip


@pytest.mark.parametrize("place", SECRET, indirect=True)
def test_a_wrong_password_is_refused_to_all(place: Place) -> None:
    need("skopeo", shutil.which("skopeo"), "skopeo isn't installed")
    argv = ["skopeo", "inspect", "--tls-verify=false", f"--creds={USER}:wrong"]
    done = subprocess.run(
        [*argv, f"docker://{place.name('lab')}"], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "unauthorized" in done.stderr
