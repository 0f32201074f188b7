"""What util-linux's own tools say about a container of the lab's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from labkit import Namespaces, container
from labkit.containers import Container
from labkit.linux import proc


@pytest.fixture(scope="module")
def box() -> Iterator[Container]:
    with container("oracle", memory="32M", pids=16) as box:
        box.start()
        yield box


def said_by(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def test_lsns_names_the_same_namespaces(box: Container) -> None:
    rows = json.loads(said_by("lsns", "-J", "-p", str(box.pid), "-o", "NS,TYPE"))
    theirs = {row["type"]: int(row["ns"]) for row in rows["namespaces"]}
    ours = {kind.proc: inode for kind, inode in Namespaces.of(box.pid).items()}
    assert theirs == ours


def test_findmnt_lists_the_same_mounts(box: Container) -> None:
    words = said_by("findmnt", "--task", str(box.pid), "-n", "-l", "-o", "TARGET")
    assert sorted(words.split()) == sorted(m.target for m in proc.mounts(box.pid))


def test_nsenter_finds_the_same_inside(box: Container) -> None:
    inside = said_by("nsenter", "-t", str(box.pid), "-a", "hostname")
    assert inside == box.exec(["hostname"]).stdout == "oracle\n"


def test_unshare_makes_the_same_kinds_differ() -> None:
    look = "for n in /proc/self/ns/*; do readlink $n; done"
    theirs = said_by("unshare", "-m", "-u", "-i", "-n", "-C", "sh", "-c", look)
    here = {proc_name: str(n) for proc_name, n in _ours().items()}
    differ = {
        line.partition(":")[0]
        for line in theirs.split()
        if here[line.partition(":")[0]] not in line
    }
    assert differ == {"mnt", "uts", "ipc", "net", "cgroup"}


def _ours() -> dict[str, int]:
    return {kind.proc: inode for kind, inode in Namespaces.of("self").items()}
