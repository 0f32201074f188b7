"""python -m tests.bench.blobs: registries at work: serving a blob, taking an image.

"serve" fetches one blob again and again, from the lab's registry, docker-registry and
nginx, where they are installed, and says how much memory the lab's needs before and
after. "push" sends an image of as many megabytes to a registry that has nothing yet:
the lab's client and skopeo from an OCI layout, podman from its own storage. All take
turns.

Ratios are what counts: the seconds are this machine's, today.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from labkit.image import Digest, Hashing, Reference
from labkit.registry.client.credentials import Login
from labkit.registry.client.push import push
from labkit.registry.client.session import Terms
from tests.support.private_state import place_for_overlays
from tests.support.registries import put_image, store_in

BLOCK = 1 << 20
NOBODY = Terms(login=Login())
NGINX = """
daemon off; pid {place}/nginx.pid; error_log {place}/nginx.log;
events {{ worker_connections 64; }}
http {{ sendfile on; tcp_nopush on; access_log off;
       server {{ listen {host}; root {place}/www; }} }}
"""
DOCKER = '{{"version": 0.1, "http": {{"addr": "{host}"}}, "log": {{"level": "error"}}, \
"storage": {{"filesystem": {{"rootdirectory": "{place}/docker"}}}}}}'


def main() -> None:
    """Measure, print, leave nothing."""
    parser = argparse.ArgumentParser("blobs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=1024)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=place_for_overlays()) as folder:
        serve(Path(folder), words.megabytes, words.rounds)
    with tempfile.TemporaryDirectory(dir=place_for_overlays()) as folder:
        send(Path(folder), words.megabytes // 4, words.rounds)


def serve(place: Path, megabytes: int, rounds: int) -> None:
    """Fetch one blob from each server in turn."""
    os.chmod(place, 0o755)  # nginx reads as nobody in particular
    (place / "www").mkdir()
    digest = make_blob(place / "www" / "blob", megabytes)
    taken: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as servers:
        hosts = {
            name: servers.enter_context(served(name, place)) for name in installed()
        }
        for name, (host, _) in hosts.items():
            if name != "nginx":
                put_blob(host, place / "www" / "blob", digest)
        before = memory_kib(hosts["labkit"][1])
        for _ in range(rounds):
            for name, (host, _) in hosts.items():
                path = "blob" if name == "nginx" else f"v2/big/blobs/{digest}"
                curl = ["curl", "-sf", "-o", "/dev/null", f"http://{host}/{path}"]
                taken[f"serve {name}"].append(seconds(curl))
        after = memory_kib(hosts["labkit"][1])
    show(taken, f"{megabytes} MiB; labkit: {before} KiB, then at most {after} KiB")


def send(place: Path, megabytes: int, rounds: int) -> None:
    """Push one image to registries that have nothing yet."""
    store = store_in(place / "layout")
    made = Reference.parse("made:1")
    put_image(store, made, [archive(megabytes // 3 * BLOCK) for _ in range(3)])
    layout = f"oci:{store.root}:{made}"
    podman = ["podman", f"--root={place}/r", f"--runroot={place}/x"]
    podman += [f"--tmpdir={place}/t", "--storage-driver=vfs", "--events-backend=file"]
    if shutil.which("podman"):
        done = subprocess.run(
            [*podman, "pull", "-q", layout], check=True, capture_output=True, text=True
        )
        number = done.stdout.strip()
    taken: dict[str, list[float]] = defaultdict(list)
    for round_ in range(rounds):
        for name in filter(shutil.which, ("skopeo", "podman", "python3")):
            with served("labkit", place / f"{name}-{round_}") as (host, _):
                image = f"docker://{host}/app:1"
                if name == "python3":
                    target = Reference.parse(f"{host}/app:1")
                    store.tag(target, store.resolve(made))
                    begun = time.monotonic()
                    push(target, store, NOBODY)
                    taken["push labkit"].append(time.monotonic() - begun)
                    continue
                line = ["skopeo", "copy", "--dest-tls-verify=false", layout, image]
                if name == "podman":
                    line = [*podman, "push", "--tls-verify=false", number, image]
                taken[f"push {name}"].append(seconds(line))
            shutil.rmtree(place / f"{name}-{round_}")
    show(taken, f"{megabytes} MiB in three layers")


def archive(size: int) -> bytes:
    """Return a tar archive with one file of random bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo(f"file-{os.urandom(4).hex()}")
        member.size = size
        tar.addfile(member, io.BytesIO(os.urandom(size)))
    return out.getvalue()


def installed() -> list[str]:
    """Return the servers that are here."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    others = ("docker-registry", "nginx")
    return ["labkit", *(name for name in others if shutil.which(name, path=path))]


@contextmanager
def served(name: str, place: Path) -> Iterator[tuple[str, int]]:
    """Let a server listen on a free port; give host and process id."""
    place.mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    (place / "nginx.conf").write_text(NGINX.format(place=place, host=host))
    (place / "docker.yml").write_text(DOCKER.format(place=place, host=host))
    own = ["--quiet", "--listen", host, "--storage", str(place / "lab")]
    argv = {
        "labkit": [sys.executable, "-m", "labkit", "registry", "serve", *own],
        "docker-registry": ["docker-registry", "serve", str(place / "docker.yml")],
        "nginx": ["/usr/sbin/nginx", "-c", str(place / "nginx.conf")],
    }[name]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(argv, stdout=quiet, stderr=quiet)
    try:
        wait_for(host)
        yield host, process.pid
    finally:
        process.terminate()
        process.wait()


def wait_for(host: str) -> None:
    """Wait until somebody listens."""
    address, _, port = host.partition(":")
    for _ in range(600):
        try:
            socket.create_connection((address, int(port))).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise SystemExit(f"bench: nobody listens on {host}")


def make_blob(path: Path, megabytes: int) -> Digest:
    """Write random bytes; return their digest."""
    hashing = Hashing()
    with path.open("wb") as file:
        for _ in range(megabytes):
            block = os.urandom(BLOCK)
            hashing.update(block)
            file.write(block)
    return hashing.digest


def put_blob(host: str, file: Path, digest: Digest) -> None:
    """Upload a file to a registry, by POST and PUT."""
    url = f"http://{host}/v2/big/blobs/uploads/"
    head = ["curl", "-sf", "-o", "/dev/null", "-D", "-", "-X", "POST", url]
    said = subprocess.run(head, check=True, capture_output=True, text=True).stdout
    found = re.search(r"(?im)^location: *(\S+)", said)
    assert found, said
    where = found[1] if "://" in found[1] else f"http://{host}{found[1]}"
    where += f"{'&' if '?' in where else '?'}digest={digest}"
    seconds(["curl", "-sf", "-o", "/dev/null", "-T", str(file), where])


def seconds(argv: Sequence[str]) -> float:
    """Return how long a program takes that must succeed."""
    begun = time.monotonic()
    subprocess.run(argv, check=True, capture_output=True)
    return time.monotonic() - begun


def memory_kib(pid: int) -> int:
    """Return the most memory that a process has had."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


def show(taken: dict[str, list[float]], about: str) -> None:
    """Print one table."""
    print(about)
    for name, times in sorted(taken.items()):
        best, median = min(times), statistics.median(times)
        print(f"{name:24}{best:8.2f} s at best{median:8.2f} s median", flush=True)


if __name__ == "__main__":
    main()
