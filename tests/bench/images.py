"""python -m tests.bench.images: an image of 300 MB, unpacked and pulled, beside others.

The image has three layers out of this machine's own /usr, packed by gzip -6 as images
are. All take turns. "unpack" begins with a layout on the disk; "pull" with a registry,
the lab's own, on 127.0.0.1; each ends with files on the disk. What one took is written
back to the disk before the next one starts, so that nobody waits for somebody else.

Ratios are what counts: the seconds are this machine's, today.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from labkit.image import Digest, Reference, Store, media_types
from labkit.linux.views import HostPath
from labkit.registry.client.push import push
from tests.support.layouts import put_documents
from tests.support.private_state import place_for_overlays

SOURCES = ("/usr/bin", "/usr/lib/python3", "/usr/include", "/usr/share/doc", "/usr/lib")
MEGABYTES, LAYERS = 300, 3
ROUNDS = 3
TAG = "big"


def main() -> int:
    """Measure, print the table, leave nothing."""
    parser = argparse.ArgumentParser("images", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--megabytes", type=int, default=MEGABYTES)
    words = parser.parse_args()
    taken: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(dir=place_for_overlays()) as place:
        store = Store(HostPath(f"{place}/store"))
        files = put_machine(store, words.megabytes)
        with registry(store, Path(place)) as address:
            plain_tag(store)
            for _ in range(words.rounds):
                for name, run in runs(store, address):
                    taken[name].append(seconds(run, Path(place)))
    print(
        f"{words.megabytes} MB, {files} names, {LAYERS} layers, {words.rounds} rounds"
    )
    for name, times in sorted(taken.items(), key=lambda row: (row[0][:4], min(row[1]))):
        best, median = min(times), statistics.median(times)
        print(f"{name:24}{best:8.2f} s at best{median:8.2f} s median")
    return 0


def plain_tag(store: Store) -> None:
    """Give the image the name that umoci takes: a tag and nothing else."""
    index = Path(store.root, "index.json")
    name = str(Reference.parse(TAG))
    index.write_text(index.read_text().replace(f'"{name}"', f'"{TAG}"'))


def put_machine(store: Store, megabytes: int) -> int:
    """Put an image of this machine's files into a store; return how many they are."""
    layers, diff_ids, count = [], [], 0
    files = machine_files()
    for _ in range(LAYERS):
        out, size = io.BytesIO(), 0
        with tarfile.open(fileobj=out, mode="w") as tar:
            while size < megabytes / LAYERS * 1e6:
                path = next(files)
                tar.add(path, path.lstrip("/"), recursive=False)
                size += path_size(path)
                count += 1
        data = out.getvalue()
        packed = gzip.compress(data, 6, mtime=0)
        layers.append(store.write(packed, media_types.LAYER_GZIP))
        diff_ids.append(Digest.of(data))
    put_documents(store, TAG, layers, diff_ids)
    return count


def machine_files() -> Iterator[str]:
    """Yield this machine's own files, directories before what is in them."""
    for source in SOURCES:
        for folder, _, names in os.walk(source):
            yield folder
            yield from (f"{folder}/{name}" for name in sorted(names))
    raise SystemExit("bench: this machine has too few files")


def path_size(path: str) -> int:
    """Return the bytes of a file; a link and a directory count as none."""
    regular = os.path.isfile(path) and not os.path.islink(path)
    return os.path.getsize(path) if regular else 0


Run = tuple[str, Callable[[Path], None]]
_LAB = """
import sys
from labkit.image import Image, Reference, Store, Trees
from labkit.registry.client.pull import pull
place, name, layout = sys.argv[1:]
store = Store(layout or place + "/store")
if not layout:
    pull(Reference.parse(name), store)
trees = Trees(place, "trusted.overlay.")
trees.unpack(Image.find(store, name))
"""


def runs(store: Store, address: str) -> Iterator[Run]:
    """Yield what is measured: a name, and what is done in an empty directory."""
    layout, name = store.root, f"{address}/big"

    lab = (sys.executable, "-c", _LAB)
    yield "unpack: labkit", lambda place: call(*lab, f"{place}", TAG, layout)
    yield "pull: labkit", lambda place: call(*lab, f"{place}", name, "")
    if shutil.which("umoci"):
        image = ["umoci", "unpack", "--image", f"{layout}:{TAG}"]
        yield "unpack: umoci", lambda place: call(*image, f"{place}/bundle")
    if shutil.which("skopeo") and shutil.which("umoci"):
        yield "pull: skopeo and umoci", lambda place: skopeo_and_umoci(name, place)
    if shutil.which("podman"):
        pull = ["pull", "--tls-verify=false", f"docker://{name}"]
        yield "pull: podman", lambda place: podman(place, *pull)


def skopeo_and_umoci(name: str, place: Path) -> None:
    """Pull with one program, unpack with another."""
    source = ["--src-tls-verify=false", f"docker://{name}"]
    call("skopeo", "copy", *source, f"oci:{place}/layout:{TAG}")
    call("umoci", "unpack", "--image", f"{place}/layout:{TAG}", f"{place}/bundle")


def podman(place: Path, *words: str) -> None:
    """Run podman with everything that it keeps in a directory."""
    with tempfile.TemporaryDirectory(prefix="labkit-", dir="/tmp") as run:
        places = ["--root", f"{place}/root", "--runroot", run, "--tmpdir", run]
        call("podman", *places, "--storage-driver", "overlay", *words)


def call(*argv: str) -> None:
    """Run a program; what it says is shown when it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(argv)}\n{done.stderr}")


def seconds(run: Callable[[Path], None], above: Path) -> float:
    """Return how long something takes in an empty directory, on a disk at rest."""
    with tempfile.TemporaryDirectory(dir=above) as place:
        os.sync()
        start = time.perf_counter()
        run(Path(place))
        return time.perf_counter() - start


@contextmanager
def registry(store: Store, place: Path) -> Iterator[str]:
    """Serve the image on 127.0.0.1 from a process of its own; give the address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = ["registry", "serve", "--listen", address, "--quiet"]
    argv = [sys.executable, "-m", "labkit", *words, "--storage", f"{place}/registry"]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(address)
            name = Reference.parse(f"{address}/big")
            store.tag(name, store.resolve(Reference.parse(TAG)))
            push(name, store)
            store.untag(name)
            yield address
        finally:
            server.terminate()


def wait_for(address: str) -> None:
    """Wait until a server answers."""
    host, _, port = address.partition(":")
    for _ in range(200):
        with suppress(ConnectionRefusedError):
            return socket.create_connection((host, int(port))).close()
        time.sleep(0.05)
    raise SystemExit(f"bench: no registry at {address}")


if __name__ == "__main__":
    sys.exit(main())
